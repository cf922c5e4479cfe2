"""SART and ordered-subset SIRT."""

import numpy as np
import pytest
import torch

from tomoprior import testing
from tomoprior.methods.classical.sart import order_subsets


@pytest.mark.parametrize("settings", [{}, {"subset_size": 4}, {"subset_size": 100, "relaxation": 1.0}], ids=str)
def test_conformance(settings):
    testing.check_method("sart", {"num_iter": 4, **settings})


@pytest.mark.parametrize("relaxation", [0.5, 1.0])
@pytest.mark.parametrize("subset_size", [25, 1000])
def test_all_tilts_in_one_subset_are_sirt(limited, relaxation, subset_size, difference):
    sart = limited.run("sart", subset_size=subset_size, relaxation=relaxation, num_iter=15)
    sirt = limited.run("sirt", relaxation=relaxation, num_iter=15)
    assert difference(sart.volume, sirt.volume) < 1e-5
    np.testing.assert_allclose(sart.history["residual"], sirt.history["residual"], rtol=1e-4)


def test_it_is_faster_than_sirt_at_first(limited):
    assert limited.psnr(limited.run("sart", num_iter=5).volume) > limited.psnr(limited.run("sirt", num_iter=5).volume) + 1


@pytest.mark.parametrize("n", [1, 2, 7, 16, 61])
@pytest.mark.parametrize("size", [1, 3, 5, 100])
def test_subsets_hold_every_tilt_once_and_spread(n, size):
    angles = np.random.default_rng(0).permutation(np.linspace(-1, 1, n))
    groups = order_subsets(angles, size)
    assert sorted(np.concatenate(groups).tolist()) == list(range(n))
    assert max(len(g) for g in groups) <= size
    assert len(groups) == -(-n // size)
    if size > 1 and n == 61:
        # no subset sits on one side
        assert all(np.ptp(angles[g]) > 0.9 for g in groups if len(g) > 2)


def test_successive_tilts_are_far_apart():
    angles = np.linspace(-1, 1, 64)
    order = [int(g[0]) for g in order_subsets(angles, 1)]
    assert np.abs(np.diff(order)).min() >= 16


def test_a_noisy_tilt_of_little_weight_does_little_harm(limited, difference):
    projections = limited.projections.clone()
    noisy = torch.arange(0, len(projections), 3)
    generator = torch.Generator().manual_seed(0)
    projections[noisy] += projections.std() * torch.randn(projections[noisy].shape, generator=generator)
    weights = torch.ones(len(projections))
    weights[noisy] = 0.01
    settings = {"num_iter": 5, "pad": 0}
    clean = limited.run("sart", **settings).volume
    trusted, weighted = (limited.run("sart", projections=projections, weights=w, **settings).volume for w in (None, weights))
    assert difference(weighted, clean) < 0.6 * difference(trusted, clean)
