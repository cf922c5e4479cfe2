"""Fusion: weights by the prediction of images in measured directions, by trust in the missing wedge."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tomoprior import Geometry, Projector, Reconstruction, TiltSeries, fuse
from tomoprior.errors import InputError
from tomoprior.metrics import measured_region
from tomoprior.running.halves import compare_halves

ANGLES = np.deg2rad(np.arange(-60, 61, 5))


@pytest.fixture
def geometry():
    return Geometry(ANGLES, (24, 24, 24))


@pytest.fixture
def truth(geometry):
    return np.random.default_rng(99).standard_normal(geometry.shape).astype(np.float32)


def member(first, second, geometry, truth, method, std=0.0):
    """A member with two volumes, and images of the truth with noise of standard deviation ``std``."""
    images = Projector(geometry, "cpu")(torch.from_numpy(truth)).numpy()
    rng = np.random.default_rng(5)
    series = tuple(
        TiltSeries((images + std * rng.standard_normal(images.shape)).astype(np.float32), geometry) for _ in range(2)
    )
    pair = [Reconstruction(v.astype(np.float32), geometry, provenance={"method": method}) for v in (first, second)]
    return replace(compare_halves(*pair, ANGLES), series=series)


def noisy(truth, std, seed):
    rng = np.random.default_rng(seed)
    return [truth + std * rng.standard_normal(truth.shape) for _ in range(2)]


def error(volume, truth):
    return np.mean((volume - truth) ** 2) / np.mean(truth**2)


def test_a_member_that_is_too_weak_is_scaled(geometry, truth):
    halved = member(truth / 2, truth / 2, geometry, truth, "weak")
    useless = member(*noisy(0 * truth, 1.0, 3), geometry, truth, "noise")
    fused = fuse([halved, useless])
    # noise-free images determine the factor of 2 in every shell, also beyond the measured directions
    assert error(fused.volume, truth) < 1e-3
    assert fused.provenance["explained"] == pytest.approx([1.0, 0.0], abs=0.01)


def test_each_band_comes_from_the_member_that_predicts_it(geometry, truth):
    spectrum = np.fft.rfftn(truth)
    axes = np.meshgrid(*[np.fft.fftfreq(24)] * 2, np.fft.rfftfreq(24), indexing="ij")
    radius = np.sqrt(sum(k**2 for k in axes))
    low, high = (np.fft.irfftn(spectrum * inside, truth.shape, axes=(0, 1, 2)) for inside in (radius < 0.25, radius >= 0.25))
    fused = fuse([member(low, low, geometry, truth, "low"), member(high, high, geometry, truth, "high")])
    inside = measured_region(geometry.shape, ANGLES, mode="wedge") & (radius < 0.45)
    # the images' shells and the volume's differ near the border of the bands; elsewhere both are reproduced
    left = np.abs(np.fft.rfftn(fused.volume) - spectrum)[inside] ** 2
    assert left.sum() / (np.abs(spectrum[inside]) ** 2).sum() < 0.15


def test_noise_shrinks_the_weights_to_the_best_member(geometry, truth):
    first, second = (member(*noisy(truth, 0.5, seed), geometry, truth, "m", std=1e4) for seed in (1, 2))
    fused = fuse([first, second])
    # images of noise alone say nothing: one member remains as it is
    assert min(error(fused.volume, m.mean.volume) for m in (first, second)) < 0.05


def test_a_fusion_is_not_worse_than_its_best_member(geometry, truth):
    members = [member(*noisy(truth, std, seed), geometry, truth, "m", std=5.0) for seed, std in enumerate((0.5, 0.55, 2.0))]
    assert error(fuse(members).volume, truth) < min(error(m.mean.volume, truth) for m in members)


def test_the_missing_wedge_comes_from_the_trusted_member(geometry, truth):
    members = [member(truth, truth, geometry, truth, "right"), member(*noisy(truth, 1.0, 2), geometry, truth, "noisy")]
    fused = fuse(members, trust=[2, 0])
    assert fused.provenance["trust"] == [1.0, 0.0]
    outside = ~measured_region(geometry.shape, ANGLES, mode="wedge")
    spectra = [np.fft.rfftn(v)[outside] for v in (fused.volume, truth)]
    np.testing.assert_allclose(*spectra, atol=1e-2 * np.abs(spectra[1]).max())


def test_what_cannot_be_fused_is_refused(geometry, truth):
    members = [member(*noisy(truth, 1.0, seed), geometry, truth, "m") for seed in (1, 2)]
    with pytest.raises(InputError, match="two methods or more"):
        fuse(members[:1])
    with pytest.raises(InputError, match="trust needs 2 numbers"):
        fuse(members, trust=[1, -1])
    other = replace(members[1].mean, geometry=Geometry(ANGLES, (24, 24, 26)))
    with pytest.raises(InputError, match="different grids"):
        fuse([members[0], replace(members[1], mean=other)])
    with pytest.raises(InputError, match="needs the images"):
        fuse([members[0], replace(members[1], series=None)])
