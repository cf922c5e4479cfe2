"""Mean and contrast of tissue are measured from the tilts in any unit of their values."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tomoprior.errors import InputError
from tomoprior.methods.diffusion import scale as scales
from tomoprior.methods.diffusion.data_statistics import estimate_noise_variance
from tomoprior.methods.diffusion.measurement_model import prepare_model
from tomoprior.methods.diffusion.ray_geometry import compute_padding, mark_used_rays
from tomoprior.methods.diffusion.scale import Scale


def measure(case, spectrum, projections=None):
    p = case.projections if projections is None else projections
    g = case.geometry
    return scales.measure_scale(p, mark_used_rays(g, compute_padding(g)), estimate_noise_variance(p), g, spectrum)


@pytest.fixture(scope="module")
def wide(simulated):
    return simulated((16, 48, 160), tilts=15, mean=1.5, gain=0.4, noise=1.0)


def test_vacuum_has_density_zero():
    assert Scale(3.0, 2.0).vacuum_value == -1.5


@pytest.mark.parametrize("noise", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("span", [60.0, 120.0])
def test_mean_and_gain_are_recovered(simulated, spectrum, noise, span):
    cases = [simulated((16, 48, 160), span=span, tilts=15, noise=noise, seed=seed) for seed in range(3)]
    found = [measure(case, spectrum) for case in cases]
    # a few hundred frequencies carry the contrast, alike in all tilts: one series has it to a tenth
    for one in found:
        assert one.mean == pytest.approx(1.5, rel=0.03)
        assert one.gain == pytest.approx(0.4, rel=0.2)
    assert sum(one.gain for one in found) / 3 == pytest.approx(0.4, rel=0.12)


def test_the_larger_contrast_and_density_of_steep_tilts_are_corrected(simulated, spectrum):
    gains = []
    for seed in range(4):
        case = simulated((16, 48, 256), span=124.0, tilts=25, seed=seed)
        g = case.geometry
        steep = np.flatnonzero(np.abs(g.angles) > np.deg2rad(55))
        p = case.projections[steep]
        found = scales.measure_scale(
            p, mark_used_rays(g, compute_padding(g))[steep], estimate_noise_variance(p), g.select(steep), spectrum
        )
        assert found.mean == pytest.approx(1.5, rel=0.03)
        gains.append(found.gain)
    # without the cosine it would be 1.4 times that
    assert sum(gains) / 4 == pytest.approx(0.4, rel=0.15)


def test_thickness_and_voxel_size_count(simulated, spectrum):
    case = simulated((32, 48, 128), span=60.0, tilts=9, mean=-2.0, gain=0.7)
    found = measure(case, spectrum)
    assert found.mean == pytest.approx(-2.0, rel=0.06)
    assert found.gain == pytest.approx(0.7, rel=0.15)


def test_another_unit_of_the_values_changes_nothing_else(wide, spectrum):
    own, other = measure(wide, spectrum), measure(wide, spectrum, wide.projections * 1000)
    assert other.mean == pytest.approx(1000 * own.mean, rel=1e-4)
    assert other.gain == pytest.approx(1000 * own.gain, rel=1e-4)


def test_an_offset_of_the_values_moves_the_mean_alone(wide, spectrum):
    """A constant density adds a line integral proportional to the path, 1 / cos."""
    cos = torch.tensor(np.cos(wide.geometry.angles), dtype=torch.float32)[:, None, None]
    own, other = measure(wide, spectrum), measure(wide, spectrum, wide.projections + 16 * 5.0 / cos)
    assert other.mean == pytest.approx(own.mean + 5, rel=1e-3)
    assert other.gain == pytest.approx(own.gain, rel=1e-3)


def test_each_tilts_brightness_matters_little(wide, spectrum):
    bright = torch.randn((15, 1, 1), generator=torch.Generator().manual_seed(0))
    own, other = measure(wide, spectrum), measure(wide, spectrum, wide.projections + bright)
    assert other.gain == pytest.approx(own.gain, rel=1e-3)
    assert other.mean == pytest.approx(own.mean, rel=0.03)  # 24 each, give or take 1


def test_a_series_without_contrast_is_refused(case, spectrum):
    with pytest.raises(InputError, match="no contrast above their noise") as error:
        prepare_model(torch.full_like(case.projections, 24.0), case.projector, spectrum)
    assert "\n" not in str(error.value)
    noise = torch.randn(case.projections.shape, generator=torch.Generator().manual_seed(5))
    g = case.geometry
    with pytest.raises(InputError, match="no contrast"):  # less than the noise that is expected
        scales.measure_scale(noise, mark_used_rays(g, compute_padding(g)), torch.full((g.n_angles,), 3.0), g, spectrum)


def test_white_noise_hardly_counts_as_contrast(case, spectrum):
    """Only its scatter remains: at most a sixteenth of the power of tissue in such a series."""
    assert measure(case, spectrum).gain > 0.3
    found = [white_noise_taken_for_contrast(case, spectrum, seed) for seed in range(4)]
    assert max(found) < 0.1
    assert min(found) < 0.06


def white_noise_taken_for_contrast(case, spectrum, seed):
    noise = torch.randn(case.projections.shape, generator=torch.Generator().manual_seed(seed))
    try:
        return prepare_model(24 + noise, case.projector, spectrum).scale.gain
    except InputError:  # it is refused: less than the noise that is expected
        return 0.0


def test_noise_in_the_tilts_does_not_raise_the_contrast(simulated, spectrum):
    clean, noisy = (measure(simulated(noise=noise), spectrum).gain for noise in (0.05, 2.0))
    assert abs(noisy / clean - 1) < 0.1


def test_a_detector_of_a_few_pixels_is_refused(simulated, spectrum):
    case = simulated((8, 2, 6), span=20.0, tilts=5)
    with pytest.raises(InputError, match="a wider detector is needed"):
        measure(case, spectrum)
