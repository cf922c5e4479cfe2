"""The resolution that a Fourier shell correlation supports."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import fft

from tomoprior.errors import InputError
from tomoprior.metrics import FSC, directional_fsc, evaluate, fsc, fsc_of_halves, measured_region, soft_mask
from tomoprior.metrics.fourier import fade_out


def curve(values, counts=100.0) -> FSC:
    """Shells at 1/40, 2/40, ... of 100 Fourier voxels each."""
    n = len(values)
    return FSC(np.arange(1, n + 1) / 40, np.asarray(values, float), np.broadcast_to(np.asarray(counts, float), n))


def test_a_straight_curve_crosses_where_it_does():
    # 1 - 2 f: 0.5 at 0.25, 0.143 at 0.4285
    straight = curve(1 - 2 * np.arange(1, 21) / 40)
    assert straight.crossing(0.5) == pytest.approx(0.25)
    assert straight.crossing(0.143) == pytest.approx(0.4285)
    growing = curve(1 - 2 * np.arange(1, 21) / 40, 100.0 * np.arange(1, 21) ** 2)
    assert growing.crossing(0.5) == pytest.approx(0.25)


def test_smoothing_averages_three_shells_by_their_counts():
    f, c = curve([1, 0, 1, 1], [100, 100, 300, 100]).smooth()
    # (1, 2, 1) times the counts: (2 * 1 + 0) / 3; (1 + 0 + 3) / 6; (0 + 6 + 1) / 8; 1
    assert c == pytest.approx([2 / 3, 4 / 6, 7 / 8, 1])
    # 1, 2, 3, 4 fortieths likewise: (2 * 1 + 2) / 3, (1 + 4 + 9) / 6, (2 + 18 + 4) / 8, (9 + 8) / 5
    assert f * 40 == pytest.approx([4 / 3, 14 / 6, 3, 17 / 5])


def test_one_low_shell_does_not_end_the_agreement():
    values = np.r_[np.full(12, 0.9), np.zeros(8)]
    dipped = values.copy()
    dipped[3] = 0.2
    assert curve(dipped).crossing(0.5) == pytest.approx(curve(values).crossing(0.5))
    assert 12 / 40 < curve(values).crossing(0.5) < 13 / 40


def test_a_wide_gap_does_not_end_it_either_if_agreement_lasts_afterwards():
    values = np.r_[np.full(5, 0.9), np.zeros(4), np.full(5, 0.9), np.zeros(6)]
    assert 14 / 40 < curve(values).crossing(0.5) < 15 / 40


def test_one_high_shell_does_not_extend_the_agreement():
    values = np.r_[np.full(6, 0.9), np.zeros(14)]
    spiked = values.copy()
    spiked[[15, 18]] = 1
    assert curve(spiked).crossing(0.4) == pytest.approx(curve(values).crossing(0.4))
    assert curve(np.r_[np.zeros(18), 1, 1]).crossing(0.5) == 0  # nor do the last two shells


def test_agreement_to_the_end_at_the_start_nowhere_and_unknown():
    assert curve(np.full(20, 0.9)).crossing(0.5) == 0.5
    assert 0 < curve(np.r_[1, np.zeros(19)]).crossing(0.5) < 2 / 40  # the first shell may be alone
    assert curve(np.full(20, 0.1)).crossing(0.5) == 0
    assert np.isnan(curve(np.full(20, np.nan)).crossing(0.5))


def test_shells_of_few_voxels_or_without_a_value_are_left_out():
    values, counts = np.r_[-1, 0.9, np.nan, np.full(17, 0.9)], np.r_[11, np.full(19, 12.0)]
    assert curve(values, counts).crossing(0.5) == 0.5
    assert len(curve(values, counts).smooth()[0]) == 18


def blurred(volume, sigma):
    """Multiplied by exp(-2 pi^2 sigma^2 k^2) in Fourier space."""
    kz, ky, kx = np.meshgrid(*map(np.fft.fftfreq, volume.shape[:2]), np.fft.rfftfreq(volume.shape[2]), indexing="ij")
    return fft.irfftn(fft.rfftn(volume) * np.exp(-2 * (np.pi * sigma) ** 2 * (kz**2 + ky**2 + kx**2)), volume.shape)


def faces(shape):
    """A steep ramp: the jump between opposite faces is 40 times the standard deviation of the specimen."""
    return sum(np.linspace(-20, 20, n).reshape([-1 if i == axis else 1 for i in range(3)]) for axis, n in enumerate(shape))


@pytest.mark.parametrize("shape", [(64, 64, 64), (32, 48, 96)])
@pytest.mark.parametrize("with_faces", [False, True])
@pytest.mark.parametrize(("sigma", "noise"), [(1.0, 0.2), (1.4, 0.1), (0.8, 0.5)])
def test_the_crossing_of_a_blurred_volume_is_the_analytic_one(shape, with_faces, sigma, noise):
    """White specimen, Gauss filter G, white noise n: FSC = 1 / sqrt(1 + n^2 / G^2), which is 0.5 where G = n / sqrt(3)."""
    rng = np.random.default_rng(3)
    truth = rng.normal(size=shape)
    volume = blurred(truth, sigma) + noise * rng.normal(size=shape)
    expected = np.sqrt(-np.log(noise / np.sqrt(3)) / (2 * np.pi**2 * sigma**2))
    if with_faces:
        truth, volume = truth + faces(shape), volume + faces(shape)
        assert fsc(volume, truth, mask=None).crossing(0.5) == 0.5  # the faces agree in all shells
    assert fsc(volume, truth).crossing(0.5) == pytest.approx(expected, rel=0.03)
    assert evaluate(volume, truth)["fsc_crossing"] == fsc(volume, truth).crossing(0.5)


@pytest.mark.parametrize("with_faces", [False, True])
def test_the_crossing_of_halves_is_the_analytic_one(with_faces):
    """Two halves with independent noise: FSC = G^2 / (G^2 + n^2), which is 0.143 where G^2 = n^2 * 0.143 / 0.857."""
    rng = np.random.default_rng(4)
    shape, sigma, noise = (64, 64, 64), 1.0, 0.5
    specimen = blurred(rng.normal(size=shape), sigma) + with_faces * faces(shape)
    first, second = (specimen + noise * rng.normal(size=shape) for _ in range(2))
    expected = np.sqrt(-np.log(noise * np.sqrt(0.143 / 0.857)) / (2 * np.pi**2 * sigma**2))
    assert fsc_of_halves(first, second).crossing(0.143) == pytest.approx(expected, rel=0.03)


def test_a_published_implementation_finds_the_same():
    """torch-fourier-shell-correlation 0.6.0 interpolates between shells; its first crossing of this volume is at 0.33148."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(64, 64, 64))
    volume = blurred(truth, 1.0) + 0.2 * rng.normal(size=truth.shape)
    assert fsc(volume, truth, mask=None).crossing(0.5) == pytest.approx(0.33148, rel=2e-3)
    assert fsc(volume, truth).crossing(0.5) == pytest.approx(0.33148, rel=5e-3)


def ball(radius: float) -> np.ndarray:
    return np.sqrt(((np.indices((48, 48, 48)) - 23.5) ** 2).sum(0)) < radius


def test_the_correlation_of_a_sharp_mask_is_removed():
    """Coarse structure cut by a sphere, and noise: the cut agrees in fine shells, where the halves share nothing."""
    rng = np.random.default_rng(5)
    specimen = 60 * blurred(rng.normal(size=(48, 48, 48)), 3.0)
    halves = [10 + specimen + rng.normal(size=specimen.shape) for _ in range(2)]
    mask = ball(12).astype(float)
    raw, corrected, without = fsc(*halves, mask=mask), fsc_of_halves(*halves, mask=mask), fsc(*halves)
    fine = slice(12, 24)
    assert abs(np.mean(without.correlation[fine])) < 0.05
    assert np.mean(raw.correlation[fine]) > 0.12
    assert abs(np.mean(corrected.correlation[fine])) < 0.1
    np.testing.assert_array_equal(corrected.correlation[:2], raw.correlation[:2])
    assert raw.crossing(0.143) > 1.2 * without.crossing(0.143)
    assert corrected.crossing(0.143) == pytest.approx(without.crossing(0.143), rel=0.25)


def test_volumes_that_are_zero_outside_are_compared_inside():
    """Noise that agrees nowhere, around a mean of 10, zero outside of a sphere: a soft mask removes the edge."""
    rng = np.random.default_rng(5)
    halves = [ball(18) * (10 + rng.normal(size=(48, 48, 48))) for _ in range(2)]
    assert np.mean(fsc_of_halves(*halves).correlation[3:]) > 0.5
    assert abs(np.mean(fsc_of_halves(*halves, mask=soft_mask(ball(18))).correlation[3:])) < 0.05


def test_a_soft_mask_rises_inside():
    mask = soft_mask(np.ones((3, 5, 1)) * (np.arange(12) >= 4), width=4)  # zero up to 3
    # depths 1, 2, 3, 4, 5 less half a voxel, over 4: 0.5 - 0.5 cos(pi / 8), cos(3 pi / 8), ...
    expected = [0, 0, 0, 0, *(0.5 - 0.5 * np.cos(np.pi * np.array([1, 3, 5, 7]) / 8)), 1, 1, 1, 1]
    assert mask[1, 2] == pytest.approx(expected)
    np.testing.assert_array_equal(soft_mask(np.ones((3, 4, 5))), 1)  # the box has faces, not edges


def test_halves_that_agree_everywhere_need_no_correction():
    volume = np.random.default_rng(6).normal(size=(24, 24, 24))
    np.testing.assert_allclose(fsc_of_halves(volume, volume).correlation, 1)


def test_halves_can_be_judged_by_region():
    rng = np.random.default_rng(7)
    a, b = rng.normal(size=(2, 32, 32, 32))
    region = measured_region(a.shape, np.deg2rad([-40, 40]), mode="wedge")
    found = fsc_of_halves(a, a + 0.1 * b, region=region)
    np.testing.assert_array_equal(found.count, directional_fsc(a, b, np.deg2rad([-40, 40]), mode="wedge")["present"].count)


def test_a_soft_box_is_one_in_the_middle_and_falls_to_the_faces():
    box = fade_out(np.ones((16, 3, 16)))
    np.testing.assert_array_equal(box[8, :, 8], 1)  # an axis of three voxels does not fade
    assert box[0, 0, 8] < 0.2
    np.testing.assert_allclose(box, box[::-1, :, ::-1])
    # half of the axis is full, a quarter at either end fades as a cosine: 0.5 in the middle of that
    long = fade_out(np.ones((1, 1, 1000)))[0, 0]
    assert long[124] == pytest.approx(0.5, abs=0.01)
    assert long[260:740].min() == 1


def test_a_mask_of_your_own():
    rng = np.random.default_rng(8)
    a, b = rng.normal(size=(2, 16, 16, 16))
    soft = np.exp(-((np.indices(a.shape) - 7.5) ** 2).sum(0) / 30)
    mean = [np.sum(soft * v) / soft.sum() for v in (a, b)]
    expected = fsc(soft * (a - mean[0]), soft * (b - mean[1]), mask=None)
    np.testing.assert_allclose(fsc(a + 5, b - 3, mask=soft).correlation, expected.correlation)
    for mask, message in [
        (soft[1:], "the mask has shape"),
        (0 * soft, "mask is empty"),
        ("ball", "must be box, None or an array"),
    ]:
        with pytest.raises(InputError, match=message):
            fsc(a, b, mask=mask)


def test_the_mean_ends_at_its_limit():
    curve = FSC(np.array([0.1, 0.3, 0.5]), np.array([1.0, 0.5, 0.0]), np.array([26.0, 98.0, 218.0]))
    assert curve.mean(below=0.3) == pytest.approx(0.75)
    assert curve.mean(below=0.29) == 1.0
    assert curve.mean() == pytest.approx(0.5)
