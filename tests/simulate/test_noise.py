"""Noise added to projections, with numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tomoprior.errors import InputError
from tomoprior.simulate.noise import MAX_COUNTS, add_counting_noise, add_gaussian_noise


def stream(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_ratio_holds_for_every_projection_by_itself():
    clean = np.zeros((2, 200, 200), np.float32)
    clean[0, :, :100], clean[1, :, :100] = 2.0, 20.0  # half of the pixels: variances 1 and 100
    noisy, facts = add_gaussian_noise(clean, 4.0, stream())
    assert facts["noise_std"] == pytest.approx([0.5, 5.0])
    assert (noisy - clean).std(axis=(1, 2)) == pytest.approx([0.5, 5.0], rel=0.02)
    assert noisy.dtype == np.float32


def test_a_projection_without_signal_gets_no_noise():
    clean = np.full((1, 8, 8), 3.0, np.float32)
    np.testing.assert_array_equal(add_gaussian_noise(clean, 1.0, stream())[0], clean)


def test_by_default_1_over_e_passes_along_the_longest_ray():
    clean = np.full((1, 300, 300), 5.0, np.float32)
    noisy, facts = add_counting_noise(clean, 1000.0, None, stream())
    assert facts["attenuation"] == pytest.approx(0.2)
    # counts of mean 1000 / e: the logarithm over the attenuation scatters by sqrt(e / 1000) / 0.2
    assert noisy.mean() == pytest.approx(5.0, abs=0.02)
    assert noisy.std() == pytest.approx(np.sqrt(np.e / 1000) / 0.2, rel=0.03)


def test_a_pixel_without_a_count_is_taken_for_half_a_count():
    clean = np.full((1, 4, 5), 1000.0, np.float32)  # exp(-100) of the beam: nothing is counted
    noisy, facts = add_counting_noise(clean, 10.0, 0.1, stream())
    assert facts["pixels_without_count"] == 20
    np.testing.assert_allclose(noisy, -np.log(0.5 / 10.0) / 0.1, rtol=1e-6)


def test_empty_projections_need_an_attenuation():
    clean = np.zeros((1, 4, 4), np.float32)
    with pytest.raises(InputError, match="no attenuation can be chosen"):
        add_counting_noise(clean, 100.0, None, stream())
    assert add_counting_noise(clean, 1e6, 0.1, stream())[0] == pytest.approx(0.0, abs=0.05)


def test_a_dose_too_large_to_count_is_refused():
    with pytest.raises(InputError, match="too much to count"):
        add_counting_noise(np.zeros((1, 2, 2), np.float32), 2 * MAX_COUNTS, 0.1, stream())
