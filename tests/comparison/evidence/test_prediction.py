"""The error of one predicted tilt: what the fit takes away, and what it must not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from tomoprior.comparison.evidence.prediction import BANDS, compare_with_prediction

SHAPE = (32, 48)


def wave(frequency: float, shape=SHAPE, phase=0.0) -> np.ndarray:
    """A wave along the columns, with so many cycles per pixel."""
    return np.broadcast_to(np.cos(2 * np.pi * frequency * np.arange(shape[1]) + phase), shape).copy()


def smooth(seed=0, sigma=2.0) -> np.ndarray:
    return 10 * ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), sigma)


def ramp() -> np.ndarray:
    """Ray lengths that vary over the detector, as those of a tilted section."""
    return np.broadcast_to(np.linspace(1, 2, SHAPE[1]), SHAPE).copy()


def test_a_prediction_that_agrees_has_no_error():
    found = compare_with_prediction(smooth(), smooth(), ramp())
    assert found.square == pytest.approx(0, abs=1e-12)
    assert found.bands == pytest.approx([0, 0, 0, 0], abs=1e-6)
    assert (found.scale, found.shift) == (pytest.approx(1), (0, 0))


def test_brightness_offset_and_lost_mean_are_no_error():
    found = compare_with_prediction(3 * smooth() + 7 - 2 * ramp(), smooth(), ramp())
    assert found.square == pytest.approx(0, abs=1e-12)
    assert found.scale == pytest.approx(3)


def test_half_of_the_power_unexplained_is_an_error_of_a_half():
    # two waves of the same power and no correlation, of which the prediction has one
    found = compare_with_prediction(wave(0.1) + wave(0.2), wave(0.1), np.ones(SHAPE))
    assert found.square == pytest.approx(0.5, abs=0.02)


def test_the_ends_of_a_tilt_hardly_count():
    """The weight of the first of 48 columns, a cosine over 15 % of the axis, is 0.045 of that in the middle."""
    errors = []
    for column in (0, 24):
        tilt = smooth()
        tilt[16, column] += 0.3
        errors.append(compare_with_prediction(tilt, smooth(), np.ones(SHAPE)).square)
    weight = 0.5 - 0.5 * np.cos(2 * np.pi / (0.3 * 49))
    assert errors[0] == pytest.approx(weight**2 * errors[1], rel=0.2)


def test_an_inverted_prediction_explains_nothing():
    found = compare_with_prediction(smooth(), -smooth(), np.ones(SHAPE))
    assert found.scale == 0
    assert found.square == pytest.approx(1)
    assert found.bands == pytest.approx([1, 1, 1, 1], abs=0.05)


@pytest.mark.parametrize("shift", [(0.7, -1.3), (-2.0, 0.4), (0.0, 0.25)])
def test_a_shift_is_found_and_is_no_error(shift):
    moved = ndimage.shift(smooth(sigma=3), shift, order=3, mode="nearest")
    found = compare_with_prediction(moved, smooth(sigma=3), np.ones(SHAPE))
    assert found.shift == pytest.approx(shift, abs=0.05)
    assert found.square < 1e-3
    unshifted = np.sum((moved - smooth(sigma=3)) ** 2) / np.sum((moved - moved.mean()) ** 2)
    assert unshifted > 10 * found.square


@pytest.mark.parametrize(("sigma", "shift"), [(2, 9), (5, 6)])
def test_a_large_shift_is_an_error(sigma, shift):
    """The second is so smooth that a fit without a limit finds it."""
    moved = ndimage.shift(smooth(sigma=sigma), (0, shift), order=3, mode="nearest")
    found = compare_with_prediction(moved, smooth(sigma=sigma), np.ones(SHAPE))
    assert np.abs(found.shift).max() <= 3
    assert found.square > 0.1


def test_noise_finds_no_shift_that_makes_it_worse():
    rng = np.random.default_rng(5)
    noise, prediction = rng.normal(size=SHAPE), smooth()
    found = compare_with_prediction(prediction + 0.1 * noise, prediction, np.ones(SHAPE))
    assert np.abs(found.shift).max() < 0.1


LIMITS = [0.01, *BANDS, 0.6]


def detail(band: int, seed: int) -> np.ndarray:
    """Random detail of one band, of unit power, 64 x 64; it keeps away from the limits of the band."""
    k = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64))
    inside = (k > LIMITS[band] + 0.015) & (k < LIMITS[band + 1] - 0.015)
    image = np.fft.ifft2(np.fft.fft2(np.random.default_rng(seed).normal(size=(64, 64))) * inside).real
    return image / image.std()


@pytest.mark.parametrize("band", range(4))
def test_each_band_judges_its_own_detail(band):
    assert BANDS == (1 / 16, 3 / 16, 5 / 16)
    common = sum(detail(i, i) for i in range(4) if i != band)
    found = compare_with_prediction(common + detail(band, 10), common + detail(band, 20), np.ones((64, 64)))
    assert found.bands[band] > 0.6
    assert max(v for i, v in enumerate(found.bands) if i != band) < 0.1


def test_a_band_has_a_scale_of_its_own():
    found = compare_with_prediction(detail(1, 1) + detail(2, 2), detail(1, 1) + 0.2 * detail(2, 2), np.ones((64, 64)))
    # fine detail too weak: the error of all is 1 - (1 + 0.2)^2 / (2 * (1 + 0.2^2)) = 0.31; with the common scale of 1.15
    # that of the fine band alone would be (1 - 0.23)^2 = 0.59; with its own only what the window spreads is left
    assert found.square == pytest.approx(0.31, abs=0.02)
    assert max(found.bands[1:3]) < 0.2


def test_pixels_without_weight_are_not_predicted():
    spoilt, weights = smooth(), np.ones(SHAPE, np.float32)
    spoilt[:, 20:25] = 1e3
    weights[:, 20:25] = 0
    assert compare_with_prediction(spoilt, smooth(), np.ones(SHAPE), weights).square == pytest.approx(0, abs=1e-9)
    assert compare_with_prediction(spoilt, smooth(), np.ones(SHAPE)).square > 0.5


def test_an_empty_tilt_or_prediction():
    assert compare_with_prediction(np.ones(SHAPE), smooth(), np.ones(SHAPE)).square == pytest.approx(0, abs=1)
    assert compare_with_prediction(smooth(), np.zeros(SHAPE), np.ones(SHAPE)).square == pytest.approx(1)


def test_a_tilt_of_one_row_is_judged_along_its_columns():
    row = ndimage.gaussian_filter1d(np.random.default_rng(4).normal(size=64), 3)[None]
    moved = ndimage.shift(row, (0, 1.4), order=3, mode="nearest")
    found = compare_with_prediction(2 * moved + 1, row, np.ones_like(row))
    assert found.shift == (pytest.approx(0, abs=1e-9), pytest.approx(1.4, abs=0.05))
    assert found.scale == pytest.approx(2, rel=0.02)
    assert found.square < 1e-3
