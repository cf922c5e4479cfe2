"""Conjugate gradients on the normal equations."""

import itertools

import numpy as np
import torch

from tomoprior import Geometry, Projector, methods, testing


def test_conformance():
    testing.check_method("cgls", {"num_iter": 5})  # later ones amplify the rounding of another order of the tilts


def test_the_residual_falls_monotonically_and_faster_than_sirts(limited):
    residual = limited.run("cgls", num_iter=60).history["residual"]
    assert all(b <= a * (1 + 1e-6) for a, b in itertools.pairwise(residual))
    sirt = limited.run("sirt", num_iter=60).history["residual"]
    assert residual[20] < sirt[-1]


def test_it_reaches_the_least_squares_solution():
    geometry = Geometry(np.deg2rad(np.linspace(-80, 80, 12)), (5, 1, 6), (1, 9))
    A = Projector(geometry, "cpu")
    dense = A(np.eye(30, dtype=np.float32).reshape(30, 5, 1, 6)).reshape(30, -1).T.astype(float)
    p = np.random.default_rng(0).normal(size=geometry.range_shape)
    expected = np.linalg.lstsq(dense, p.ravel())[0]
    method = methods.get("cgls")
    settings = method.Settings(num_iter=500, pad=0)
    found = method.reconstruct(torch.from_numpy(p.astype(np.float32)), A, settings).volume.numpy().ravel()
    fit = np.linalg.norm(dense @ found - p.ravel()) / np.linalg.norm(dense @ expected - p.ravel())
    assert 1 - 1e-4 < fit < 1 + 1e-4
    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected)


def test_going_on_after_convergence_does_no_harm(limited):
    volume = limited.run("cgls", num_iter=1000, pad=0).volume
    assert torch.isfinite(volume).all()


def test_data_of_zeros_give_a_volume_of_zeros(limited):
    for name in ("cgls", "sirt", "sart", "tikhonov", "tv", "wbp", "fourier"):
        result = limited.run(name, projections=torch.zeros_like(limited.projections))
        assert not result.volume.any(), name
