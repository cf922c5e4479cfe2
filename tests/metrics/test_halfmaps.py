"""Half maps: correlations of known signal and noise, random phases, masks, local resolution, weights by merit."""

import numpy as np
import pytest
from scipy import ndimage

from tomoprior.errors import InputError
from tomoprior.metrics import FSC, fsc, halfmaps
from tomoprior.metrics.halfmaps import (
    HalfMapFSC,
    _window_starts,
    half_map_fsc,
    local_resolution,
    predict_truth_fsc,
    sharpen,
    soft_mask,
    substitute_phases,
)


@pytest.fixture
def rng():
    return np.random.default_rng(123)  # not the seed of the random phases


def test_equal_signal_and_noise_correlate_a_half(rng):
    signal = rng.standard_normal((32, 32, 32))
    halves = (signal + rng.standard_normal(signal.shape) for _ in range(2))
    found = half_map_fsc(*halves, np.ones(signal.shape))
    assert found.corrected.correlation[4:].mean() == pytest.approx(0.5, abs=0.03)
    np.testing.assert_array_equal(found.masked.correlation, found.unmasked.correlation)


def test_what_the_mask_correlates_is_taken_off(rng):
    # both halves hold the same level and independent noise: inside a small mask the level correlates at all frequencies
    halves = [5 + rng.standard_normal((24, 24, 24)) for _ in range(2)]
    ball = np.zeros((24, 24, 24))
    ball[9:15, 9:15, 9:15] = 1
    found = half_map_fsc(*halves, ball)
    assert found.masked.correlation[3:].mean() > 0.3
    assert abs(found.corrected.correlation[3:].mean()) < 0.15
    beyond = found.masked.frequency > found.substituted_from
    m, s = found.masked.correlation[beyond], found.substituted.correlation[beyond]
    np.testing.assert_allclose(found.corrected.correlation[beyond], (m - s) / (1 - s))


def test_the_correlation_with_the_truth_is_predicted_in_spite_of_a_prior(rng):
    # a prior that adds the same error to both halves: their own correlation counts it as signal
    truth, invented = rng.standard_normal((2, 32, 32, 32))
    linear = [truth + rng.standard_normal(truth.shape) for _ in range(2)]
    halves = [0.5 * (v + invented) for v in linear]
    mean = (halves[0] + halves[1]) / 2
    found = predict_truth_fsc(tuple(halves), tuple(linear))
    true = fsc(mean, truth)
    # the truth has a variance of 1, the mean of 1 + 1 + 1/2
    assert true.correlation[4:].mean() == pytest.approx(1 / np.sqrt(2.5), abs=0.02)
    assert found.correlation[4:].mean() == pytest.approx(true.correlation[4:].mean(), abs=0.03)
    # their own correlation, 2 / 3, would state sqrt(2 * 2/3 / (5/3)) = 0.89
    assert half_map_fsc(*halves, np.ones(truth.shape)).corrected.correlation[4:].mean() == pytest.approx(2 / 3, abs=0.03)


def test_the_prediction_is_for_the_matter_inside_the_mask(rng):
    # noise at the faces of the volume, which the box fades out, does not count; without a mask it does
    truth = np.zeros((32, 32, 32))
    truth[6:-6, 6:-6, 6:-6] = rng.standard_normal((20, 20, 20))
    halves = [truth + 0.3 * rng.standard_normal(truth.shape) for _ in range(2)]
    for half in halves:
        half[:2] += 2 * rng.standard_normal(half[:2].shape)
    mean = (halves[0] + halves[1]) / 2
    pair = tuple(halves)
    for mask in ("box", None):
        true = fsc(mean, truth, mask=mask).correlation[4:].mean()
        assert predict_truth_fsc(pair, pair, mask=mask).correlation[4:].mean() == pytest.approx(true, abs=0.03)
    # the default is the mask of all other correlations
    np.testing.assert_array_equal(
        predict_truth_fsc(pair, pair).correlation, predict_truth_fsc(pair, pair, mask="box").correlation
    )
    assert fsc(mean, truth).correlation[4:].mean() - fsc(mean, truth, mask=None).correlation[4:].mean() > 0.1


def test_nothing_is_predicted_beyond_the_agreement_of_linear_halves(rng):
    # a signal at low frequencies only, under strong noise: beyond, a prior alone correlates
    k = np.sqrt(sum(f**2 for f in np.meshgrid(*[np.fft.fftfreq(48)] * 3, indexing="ij")))
    low = lambda v, end: np.fft.ifftn(np.fft.fftn(v) * (k < end)).real  # noqa: E731
    truth, invented = low(rng.standard_normal((48, 48, 48)), 0.2), rng.standard_normal((48, 48, 48))
    linear = [truth + 0.5 * rng.standard_normal(truth.shape) for _ in range(2)]
    halves = tuple(low(v, 0.2) + 0.2 * invented for v in linear)
    found = predict_truth_fsc(halves, tuple(linear))
    assert found.crossing(0.5) == pytest.approx(0.2, abs=2 / 48)  # two averages over three shells
    assert found.correlation[found.frequency > 0.35].max() == 0


def test_random_phases_leave_amplitudes_and_low_frequencies(rng):
    volume = rng.standard_normal((12, 16, 20))
    changed = substitute_phases(volume, 0.2, rng)
    before, after = np.fft.rfftn(volume), np.fft.rfftn(changed)
    np.testing.assert_allclose(np.abs(after), np.abs(before), rtol=1e-8, atol=1e-8)
    k = np.sqrt(sum(f**2 for f in np.meshgrid(np.fft.fftfreq(12), np.fft.fftfreq(16), np.fft.rfftfreq(20), indexing="ij")))
    np.testing.assert_allclose(after[k <= 0.2], before[k <= 0.2], atol=1e-8)
    assert abs(fsc(volume, changed).correlation[8:].mean()) < 0.2


def test_a_mask_is_one_on_the_matter_and_falls_to_zero():
    z, y, x = np.indices((40, 40, 40)) - 20
    radius = np.sqrt(z**2 + y**2 + x**2)
    mask = soft_mask((radius < 8).astype(float), edge=3)
    assert mask[radius < 8].min() == 1
    assert mask[radius > 19].max() == 0
    assert 0 < mask[20, 20, 20 + 14] < 1
    np.testing.assert_array_equal(soft_mask(np.zeros((8, 8, 8))), 1)


def test_resolution_is_local(rng):
    signal = rng.standard_normal((32, 32, 64))
    halves = [signal + np.where(np.arange(64) < 32, 0.1, 30) * rng.standard_normal(signal.shape) for _ in range(2)]
    lengths = local_resolution(*halves, window=16)
    assert lengths.shape == signal.shape
    assert lengths[:, :, :20].max() < 2.2
    assert lengths[:, :, 48:].mean() > 6
    with pytest.raises(InputError, match="window"):
        local_resolution(*halves, window=33)


def test_local_resolution_does_not_depend_on_an_offset(rng):
    signal = ndimage.gaussian_filter(rng.standard_normal((24, 24, 24)), 1.5)
    halves = [signal + 0.1 * rng.standard_normal(signal.shape) for _ in range(2)]
    expected = local_resolution(*halves, window=12)
    assert expected.max() < 12
    np.testing.assert_allclose(local_resolution(*(half + 1e3 for half in halves), window=12), expected, rtol=1e-6)


@pytest.mark.parametrize(("n", "starts"), [(32, [0, 8, 16]), (16, [0]), (28, [0, 6, 12]), (40, [0, 8, 16, 24])])
def test_windows_overlap_by_half_and_reach_both_ends(n, starts):
    assert _window_starts(n, 16) == starts


def test_a_shell_is_weighted_by_its_merit(rng):
    volume = rng.standard_normal((16, 16, 16))
    frequency, count = np.arange(1, 9) / 16, np.ones(8)
    np.testing.assert_allclose(sharpen(volume, FSC(frequency, np.ones(8), count)), volume, atol=1e-12)
    third = sharpen(volume, FSC(frequency, np.full(8, 1 / 3), count))
    # 2/3 over 4/3: half of the power, except the mean, which has no shell
    np.testing.assert_allclose(third - third.mean(), (volume - volume.mean()) * np.sqrt(0.5), atol=1e-12)
    ended = sharpen(volume, FSC(frequency, np.where(frequency < 0.2, 1.0, -0.1), count))
    assert np.abs(np.fft.rfftn(ended)[0, 0, 6:]).max() < 1e-10
    steeper = sharpen(volume, FSC(frequency, np.ones(8), count), b_factor=16.0)
    assert abs(np.fft.rfftn(steeper)[0, 0, 4] / np.fft.rfftn(volume)[0, 0, 4]) == pytest.approx(np.exp(16 / 4 / 16))


def test_the_limits_of_halves_are_0_8_and_0_143(rng):
    frequency = np.arange(1, 101) / 200
    line = FSC(frequency, 1 - 2 * frequency, np.full(100, 1000.0))
    found = HalfMapFSC(line, line, line, line, 0.1)
    assert found.resolved_frequency == pytest.approx((1 - 0.143) / 2, abs=1e-6)
    halves = [np.cumsum(rng.standard_normal((24, 24, 24)), 0) for _ in range(2)]
    halves[1] = halves[0] + 4 * rng.standard_normal(halves[0].shape)
    found = half_map_fsc(*halves, np.ones((24, 24, 24)))
    assert 0.1 < found.substituted_from < 0.5
    assert found.substituted_from == found.unmasked.crossing(0.8)


def test_both_halves_count_in_the_prediction(rng):
    # the first half is good, the second is noise; of equal norm, so that the mean correlates as the mean of both does
    truth = rng.standard_normal((32, 32, 32))
    linear = tuple(truth + rng.standard_normal(truth.shape) for _ in range(2))
    good, bad = linear[0] / np.linalg.norm(linear[0]), rng.standard_normal(truth.shape)
    bad /= np.linalg.norm(bad)
    for halves in ((good, bad), (bad, linear[1] / np.linalg.norm(linear[1]))):
        true = fsc(halves[0] + halves[1], truth).correlation[4:].mean()
        assert true == pytest.approx(0.5, abs=0.03)
        assert predict_truth_fsc(halves, linear).correlation[4:].mean() == pytest.approx(true, abs=0.03)


def test_nothing_is_left_beyond_the_first_shell_without_correlation(rng):
    volume = rng.standard_normal((16, 16, 16))
    frequency = np.arange(1, 9) / 16
    curve = FSC(frequency, np.array([1, 1, 1, 0, 1, 1, 1, 1.0]), np.full(8, 100.0))
    k = np.sqrt(sum(f**2 for f in np.meshgrid(*[np.fft.fftfreq(16)] * 3, indexing="ij")))
    spectrum = np.abs(np.fft.fftn(sharpen(volume, curve)))
    assert spectrum[k >= 4 / 16].max() < 1e-9
    np.testing.assert_allclose(spectrum[k <= 3 / 16], np.abs(np.fft.fftn(volume))[k <= 3 / 16], rtol=1e-6, atol=1e-9)


def test_a_mirrored_volume_has_the_mirrored_map(rng):
    signal = rng.standard_normal((16, 16, 48))
    halves = [signal + np.linspace(0.1, 5, 48) * rng.standard_normal(signal.shape) for _ in range(2)]
    found = local_resolution(*halves, window=16)
    mirrored = local_resolution(*(half[:, :, ::-1] for half in halves), window=16)
    assert np.ptp(found[0, 0]) > 1
    # a Fourier transform of a mirrored window has other rounding
    np.testing.assert_allclose(mirrored, found[:, :, ::-1], rtol=1e-6)


def test_matter_is_brighter_than_a_share_of_the_brightest():
    volume = np.zeros((40, 40, 80))
    volume[10:30, 10:30, 4:24], volume[10:30, 10:30, 30:50], volume[10:30, 10:30, 56:76] = 1.0, 0.12, 0.2
    mask = soft_mask(volume, edge=1)
    assert [mask[20, 20, x] for x in (14, 40, 66)] == [1, 0, 1]


@pytest.fixture
def predict(monkeypatch):
    """Predict from correlations made by hand, 75 Fourier voxels a shell: noise then has 1 / sqrt(75 * 16 / 6 / 2) = 0.1."""

    def make(agreement, crossed=0.05, own=1.0):
        n = len(agreement)
        curves = {"ll": agreement, "xl": np.full(n, crossed), "xx": np.full(n, own)}

        def fsc_by_hand(a, b, **_):
            correlation = np.asarray(curves["".join(sorted(a + b, reverse=True))])
            return FSC(np.arange(1, n + 1) / (2 * n), correlation, np.full(n, 75.0))

        monkeypatch.setattr(halfmaps, "fsc", fsc_by_hand)
        return predict_truth_fsc(("x", "x"), ("l", "l")).correlation

    return make


def test_the_prediction_is_the_formula(predict):
    # 0.05 * sqrt(2 / (1 + 1) / 0.25)
    assert predict([0.25] * 8) == pytest.approx(0.1)
    assert predict([0.25] * 8, own=0.28) == pytest.approx(0.05 * np.sqrt(2 / 1.28 / 0.25))


def test_agreement_like_that_of_noise_predicts_nothing(predict):
    assert predict([0.11] * 8) == pytest.approx(0.05 / np.sqrt(0.11))
    np.testing.assert_array_equal(predict([0.09] * 8), 0)


def test_three_shells_without_agreement_end_the_prediction_and_so_does_the_end_of_the_curve(predict):
    # averages over three shells: 0.5, then 0.125 beside the zeros
    gap = predict([0.5] * 4 + [0.0] * 3 + [0.5] * 4)  # one shell is 0
    assert (gap > 0).all()
    wide = predict([0.5] * 4 + [0.0] * 5 + [0.5] * 4)  # three shells are 0
    assert (wide > 0).tolist() == [True] * 5 + [False] * 8
    last = predict([0.5] * 6 + [0.0] * 2)  # the last shell alone is 0
    assert (last > 0).tolist() == [True] * 7 + [False]


def test_a_mask_follows_the_wanted_lowpass():
    """A cube of 3 x 3 x 3 voxels, which smoothing widens."""
    sizes = [soft_mask(np.pad(np.ones((3, 3, 3)), 6), lowpass=lowpass, edge=0).sum() for lowpass in (0.1, 2.0)]
    assert sizes[0] == 27
    assert sizes[1] > 100


def test_random_phases_begin_at_their_frequency(rng):
    volume = rng.standard_normal((16, 16, 16))
    before, after = (np.fft.rfftn(v) for v in (volume, substitute_phases(volume, 0.2, rng)))
    k = np.sqrt(sum(f**2 for f in np.meshgrid(np.fft.fftfreq(16), np.fft.fftfreq(16), np.fft.rfftfreq(16), indexing="ij")))
    np.testing.assert_allclose(after[k <= 0.2], before[k <= 0.2])
    just_above = (k > 0.2) & (k < 0.25)
    assert np.mean(np.abs(after - before)[just_above] > 0.1 * np.abs(before)[just_above]) > 0.8
