"""The method keeps what tomoprior relies on, and does what its paper says."""

from itertools import pairwise

import numpy as np
from tomoprior_landweber import Landweber

import tomoprior
from tomoprior.testing import check_method


def test_it_is_a_method_as_tomoprior_knows_them():
    check_method(Landweber(), {"num_iter": 60})


def test_the_residual_falls_with_every_iteration():
    geometry = tomoprior.Geometry(np.deg2rad(np.arange(-60, 61, 10)), (12, 4, 24))
    spheres = tomoprior.simulate.Spheres.random(geometry.shape, radius=(1, 2), fill=0.05, seed=1)
    series = tomoprior.TiltSeries(spheres.project(geometry), geometry)
    residuals = tomoprior.reconstruct(series, Landweber(), num_iter=30, device="cpu").history["residual"]
    assert residuals[0] == 1
    assert all(b < a for a, b in pairwise(residuals))
