"""Fusion: weights by signal over noise in measured directions, by trust in the missing wedge."""

from dataclasses import replace

import numpy as np
import pytest

from tomoprior import Geometry, Reconstruction, fuse
from tomoprior.errors import InputError
from tomoprior.metrics import measured_region
from tomoprior.running.halves import compare_halves

ANGLES = np.deg2rad(np.arange(-60, 61, 5))


def halves_of(truth, std, seed, geometry):
    """Halves with white noise of standard deviation ``std``."""
    rng = np.random.default_rng(seed)
    pair = [Reconstruction((truth + std * rng.standard_normal(truth.shape)).astype(np.float32), geometry) for _ in range(2)]
    return compare_halves(*pair, ANGLES)


@pytest.fixture
def geometry():
    return Geometry(ANGLES, (24, 24, 24))


@pytest.fixture
def truth(geometry):
    return np.random.default_rng(99).standard_normal(geometry.shape)


def test_measured_frequencies_are_weighted_by_signal_over_noise(geometry, truth):
    # with noise variances 1 and 4 the weights are 0.8 and 0.2
    members = [halves_of(truth, 1.0, 1, geometry), halves_of(truth, 2.0, 2, geometry)]
    fused = fuse(members, trust=[1, 1])
    assert fused.provenance["mean_weights"] == pytest.approx([0.8, 0.2], abs=0.05)
    errors = [np.mean((m.mean.volume - truth) ** 2) for m in members]
    inside = measured_region(geometry.shape, ANGLES, mode="wedge")
    spectra = [np.fft.rfftn(v - truth)[inside] for v in (members[0].mean.volume, fused.volume)]
    # variances 1/2 and 2 of the means combine to 0.4: a fifth less than the best member
    assert np.mean(np.abs(spectra[1]) ** 2) / np.mean(np.abs(spectra[0]) ** 2) == pytest.approx(0.8, abs=0.05)
    assert errors[0] < errors[1]


def test_the_missing_wedge_comes_from_the_trusted_member(geometry, truth):
    members = [halves_of(truth, 1.0, 1, geometry), halves_of(truth, 2.0, 2, geometry)]
    fused = np.fft.rfftn(fuse(members, trust=[0, 2]).volume)
    outside = ~measured_region(geometry.shape, ANGLES, mode="wedge")
    np.testing.assert_allclose(fused[outside], np.fft.rfftn(members[1].mean.volume)[outside], atol=1e-3)


def test_trust_follows_the_halves_where_it_is_left_open(geometry, truth):
    members = [halves_of(truth, 0.5, 1, geometry), halves_of(truth, 1.0, 2, geometry)]
    # correlations 1 / 1.25 and 1 / 2
    assert fuse(members).provenance["trust_in_missing_wedge"] == pytest.approx([0.8 / 1.3, 0.5 / 1.3], abs=0.03)


def test_what_cannot_be_fused_is_refused(geometry, truth):
    members = [halves_of(truth, 1.0, 1, geometry), halves_of(truth, 2.0, 2, geometry)]
    with pytest.raises(InputError, match="two methods or more"):
        fuse(members[:1])
    with pytest.raises(InputError, match="trust needs 2 numbers"):
        fuse(members, trust=[1, -1])
    other = replace(members[1].mean, geometry=Geometry(ANGLES, (24, 24, 26)))
    with pytest.raises(InputError, match="different grids"):
        fuse([members[0], replace(members[1], mean=other)])
