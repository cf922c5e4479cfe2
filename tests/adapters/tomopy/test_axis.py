"""The axis that TomoPy's algorithms are given. The real TomoPy is not needed: a stand-in records its arguments."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

import tomoprior
from tomoprior import Geometry, TiltSeries


@pytest.mark.parametrize(("name", "axis"), [("tomopy.gridrec", 12.25), ("tomopy.sirt", 12.75)])
def test_gridrec_is_given_the_index_of_the_axis_and_the_others_half_a_pixel_more(monkeypatch, name, axis):
    received = {}

    def recon(projections, angles, *, center, num_gridx, num_gridy, **keywords):
        received["center"] = center
        return np.zeros((projections.shape[1], num_gridy, num_gridx), np.float32)

    monkeypatch.setitem(sys.modules, "tomopy", SimpleNamespace(recon=recon))
    geometry = Geometry(np.deg2rad([-30.0, 0.0, 30.0]), (8, 2, 24), center=12.75)
    tomoprior.reconstruct(TiltSeries(np.ones(geometry.range_shape, np.float32), geometry), name)
    np.testing.assert_array_equal(received["center"], [axis, axis])
