"""The microscope: settings and what is drawn from them, errors of tilts, and what becomes of line integrals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tomoprior.errors import SettingsError
from tomoprior.simulate.microscope import MicroscopeSettings, expose_tilt, tilt_errors, transfer, warp

#: A perfect microscope: of an image's line integrals it gives the same back.
PERFECT = {
    "defocus": 0.0, "voltage": 300.0, "amplitude_contrast": 0.5, "saturation": 0.0, "blur": 0.0, "dose": 1e12,
    "read_noise": 0.0,
}  # fmt: skip


def drawn(**values):
    return {**PERFECT, **{k: float(v) for k, v in values.items()}}


def expose(lines, seed=0, per_line=1.0, kind=0, gain=1.0, offset=0.0, pixel=5.0, **values):
    rng = np.random.default_rng(seed)
    return expose_tilt(np.asarray(lines, np.float32), per_line, kind, gain, offset, drawn(**values), 2, pixel, rng)


@pytest.fixture(scope="module")
def image():
    """Smooth line integrals around 1 on fine pixels."""
    noise = gaussian_filter(np.random.default_rng(0).standard_normal((48, 64)), 3)
    return np.float32(1 + 0.3 * noise / noise.std())


@pytest.fixture
def blob():
    """A spot at row 20, column 41."""
    y, x = np.ogrid[:48, :64]
    return np.exp(-((y - 20) ** 2 + (x - 41) ** 2) / 8).astype(np.float32)


def place(image):
    """Centre of mass: row and column."""
    return np.array([np.average(np.arange(n), weights=image.sum(1 - i)) for i, n in enumerate(image.shape)])


def coarse(fine):
    return fine.reshape(fine.shape[0] // 2, 2, fine.shape[1] // 2, 2).mean((1, 3))


def test_ranges_are_read_from_numbers_pairs_and_text():
    settings = MicroscopeSettings.parse(
        {"dose": 500, "thickness": "0.5,0.9", "blur": "0.4", "drift": [0, 2], "axis_error": (-1, 1)}
    )
    assert settings.dose == (500, 500)
    assert settings.thickness == (0.5, 0.9)
    assert settings.blur == (0.4, 0.4)
    assert settings.drift == (0, 2)
    assert settings.axis_error == (-1, 1)
    assert settings.attenuation == MicroscopeSettings().attenuation
    assert MicroscopeSettings.parse(settings.model_dump()) == settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"thickness": 1.5}, "thickness: .*within 0.05 to 1"),
        ({"thickness": (0.2, 1.1)}, "thickness: .*within"),
        ({"thickness": 0}, "thickness: .*within"),
        ({"dose": (1000, 500)}, "dose: .*from a lower to a higher"),
        ({"dose": 0}, "dose: .*within 1 to"),
        ({"dose": 1e20}, "dose: .*within"),
        ({"dose": -5}, "dose: .*within"),
        ({"dose": "nan"}, "dose: .*finite"),
        ({"dose": "much"}, "dose: .*number"),
        ({"dose": "1,2,3"}, "dose: "),
        ({"dose": True}, "dose: "),
        ({"gamma": 0}, "gamma: .*within"),
        ({"attenuation": 0}, "attenuation: .*within"),
        ({"shift_error": (-1, 1)}, "shift_error: .*within 0 to"),
        ({"read_noise": -1}, "read_noise: .*must be 0 or more"),
        ({"read_noise": math.inf}, "read_noise: .*finite"),
        ({"stain_gradient": 2}, "stain_gradient: .*within"),
        ({"angle_error": 45}, "angle_error: .*within 0 to 5"),
        ({"magnification_error": 100}, "magnification_error: .*within"),
        ({"outliers": 1.5}, "outliers: "),
        ({"voltage": 0}, "voltage: "),
        ({"amplitude_contrast": 0}, "amplitude_contrast: "),
        ({"doze": 500}, "did you mean dose"),
    ],
)
def test_ranges_beyond_their_limits_are_refused_in_one_line(values, message):
    with pytest.raises(SettingsError, match=message) as raised:
        MicroscopeSettings.parse(values)
    assert "\n" not in str(raised.value)


def test_what_is_drawn_lies_in_its_range():
    settings = MicroscopeSettings(outliers=0.3, dose=(100, 10000))
    many = [settings.draw(np.random.default_rng(seed)) for seed in range(400)]
    assert many[0] == settings.draw(np.random.default_rng(0))
    for name in MicroscopeSettings.model_fields:
        value, found = getattr(settings, name), np.array([d[name] for d in many])
        low, high = value if isinstance(value, tuple) else (value, value)
        assert low <= found.min() <= found.max() <= high
        if high > low:
            middle = math.sqrt(low * high) if name == "dose" else (low + high) / 2
            assert abs((found < middle).mean() - 0.5) < 0.1, name  # the dose is logarithmic
            assert np.ptp(found) > 0.5 * (high - low)


ERRORS = {"angle_error": 0.2, "shift_error": 1.5, "drift": 0.0, "magnification_error": 0.2, "gain_error": 0.05,
          "offset_error": 0.004, "outliers": 0.0}  # fmt: skip


def test_errors_are_as_large_as_asked():
    off = tilt_errors(4000, ERRORS, np.random.default_rng(0))
    assert np.rad2deg(off["angle"].std()) == pytest.approx(0.2, rel=0.05)
    np.testing.assert_allclose(off["shift"].std(axis=0), 1.5, rtol=0.05)
    assert 100 * off["magnification"].std() == pytest.approx(0.2, rel=0.05)
    assert off["magnification"].mean() == pytest.approx(1, abs=1e-3)
    assert np.log(off["gain"]).std() == pytest.approx(0.05, rel=0.05)
    assert off["offset"].std() == pytest.approx(0.004, rel=0.05)
    assert not off["kind"].any()
    twice = tilt_errors(4000, {**ERRORS, "shift_error": 3.0}, np.random.default_rng(0))
    np.testing.assert_allclose(twice["shift"], 2 * off["shift"])
    assert all(np.array_equal(twice[name], off[name]) for name in off if name != "shift")


def test_drift_is_a_random_walk():
    walks = [
        tilt_errors(61, {**ERRORS, "shift_error": 0.0, "drift": 2.0}, np.random.default_rng(s))["shift"] for s in range(300)
    ]
    ends = np.array([walk[-1] - walk[0] for walk in walks])
    np.testing.assert_allclose(np.sqrt((ends**2).mean(0)), 2.0, rtol=0.15)
    np.testing.assert_allclose([walk.mean(0) for walk in walks], 0, atol=1e-12)
    steps = np.abs(np.diff(walks, axis=1))
    assert steps.max() < 2.0


def test_spoilt_tilts_come_in_ones_to_threes():
    share, jumps, kinds = [], [], set()
    for seed in range(300):
        still = {**ERRORS, "shift_error": 0.0, "outliers": 0.4}
        off = tilt_errors(41, still, np.random.default_rng(seed))
        spoilt = off["kind"] > 0
        share.append(spoilt.any())
        assert spoilt.sum() <= 3
        kinds |= set(off["kind"])
        assert not off["shift"][off["kind"] != 1].any()
        jumps += list(off["shift"][off["kind"] == 1])
    assert np.mean(share) == pytest.approx(0.4, abs=0.1)
    assert kinds == {0, 1, 2, 3}
    sizes = np.abs(jumps)
    assert 5 <= sizes.min() <= sizes.max() <= 10
    assert abs(np.mean(np.sign(jumps))) < 0.25
    for n in (1, 2, 3):  # too few to spare any
        assert not tilt_errors(n, {**ERRORS, "outliers": 1.0}, np.random.default_rng(0))["kind"].any()
    assert tilt_errors(4, {**ERRORS, "outliers": 1.0}, np.random.default_rng(0))["kind"].any()


@pytest.mark.parametrize("shift", [(3.0, 0.0), (0.0, -4.0), (2.5, 1.25), (-0.5, 0.3)])
def test_a_shifted_feature_is_found_where_the_geometry_says(blob, shift):
    np.testing.assert_allclose(place(warp(blob, np.array(shift), 0.0, 1.0)) - place(blob), shift, atol=0.01)


def test_magnification_and_rotation_go_about_the_middle(blob):
    middle = np.array([23.5, 31.5])
    arm = place(blob) - middle
    still = np.zeros(2)
    np.testing.assert_allclose(place(warp(blob, still, 0.0, 1.2)) - middle, 1.2 * arm, atol=0.05)
    turned = place(warp(blob, still, 0.1, 1.0)) - middle
    # growing rows turn towards growing columns
    c, s = math.cos(0.1), math.sin(0.1)
    np.testing.assert_allclose(turned, [c * arm[0] - s * arm[1], s * arm[0] + c * arm[1]], atol=0.02)
    both = place(warp(blob, np.array([2.0, -3.0]), 0.1, 1.2)) - middle
    np.testing.assert_allclose(both, 1.2 * turned + [2, -3], atol=0.05)
    np.testing.assert_allclose(warp(blob, still, 0.0, 1.0), blob, atol=1e-6)


def test_a_perfect_microscope_gives_line_integrals(image):
    for per_line in (1.0, 0.04):
        measured, variance = expose(image / per_line, per_line=per_line)
        assert measured.dtype == variance.dtype == np.float32
        # it is the intensity that a pixel averages
        np.testing.assert_allclose(measured, -np.log(coarse(np.exp(-image))) / per_line, rtol=1e-4)
        np.testing.assert_allclose(measured, coarse(image) / per_line, atol=0.02 / per_line)


def test_saturation_is_the_formula(image):
    flat = np.full((8, 8), 1.7, np.float32)
    for b in (0.1, 0.5):
        np.testing.assert_allclose(expose(flat, saturation=b)[0], (1 - math.exp(-b * 1.7)) / b, rtol=1e-4)
        np.testing.assert_allclose(
            expose(flat / 0.1, per_line=0.1, saturation=b)[0], (1 - math.exp(-b * 1.7)) / b / 0.1, rtol=1e-4
        )
    assert expose(image, saturation=0.3)[0].std() < expose(image)[0].std()


def test_gain_and_offset_change_the_intensity(image):
    plain = expose(image)[0]
    np.testing.assert_allclose(expose(image, gain=1.1)[0], plain - math.log(1.1), atol=1e-4)
    np.testing.assert_allclose(np.exp(-expose(image, offset=0.05)[0]), np.exp(-plain) + 0.05, atol=1e-4)
    # darker than dark counts nothing, and has no logarithm
    dark, variance = expose(image, offset=-3.0, dose=100)
    np.testing.assert_allclose(dark, -math.log(0.5 / 100), rtol=1e-6)
    assert np.all(np.isfinite(variance))


def test_blur_is_of_the_intensity_and_in_pixels():
    lines = np.zeros((40, 40), np.float32)
    lines[20, 20] = 1e-3
    y = np.arange(40) - 20
    for sigma in (1.0, 2.0):
        row = expose(lines, blur=sigma, kind=0, dose=1e12)[0].sum(0)
        fine = gaussian_filter(lines, 2 * sigma, mode="nearest", truncate=3).sum(0)
        np.testing.assert_allclose(row, fine.reshape(20, 2).sum(1) / 4, atol=3e-5)
        spread = np.average(y**2, weights=fine)
        assert math.sqrt(spread) / 2 == pytest.approx(sigma, rel=0.05)


def test_spoilt_tilts(image):
    plain = expose(image, blur=0.5)[0]
    blurred = expose(image, blur=0.5, kind=2)[0]
    np.testing.assert_allclose(blurred, expose(image, blur=3.0)[0], rtol=1e-4)
    assert blurred.std() < 0.7 * plain.std()
    widths = []
    for seed in range(20):
        hidden = expose(image, kind=3, seed=seed)[0] - expose(image, seed=seed)[0]
        bar = hidden.mean(0) > 1
        widths.append(bar.mean())
        assert np.all(np.diff(bar.astype(int)) >= 0)  # on one side
        np.testing.assert_allclose(hidden[:, ~bar], 0, atol=0.8)
        np.testing.assert_allclose(hidden[:, -1], -math.log(0.05), atol=1e-3)
    assert 0.08 < min(widths) < max(widths) < 0.32


@pytest.mark.parametrize(
    "values", [{"dose": 500}, {"dose": 5000}, {"dose": 2000, "read_noise": 10}, {"dose": 200, "read_noise": 2}]
)
def test_the_variance_is_that_of_repeated_exposures(values):
    lines = np.full((32, 32), 1.2 / 0.04, np.float32)
    lines[:16] *= 0.5
    found = [expose(lines, seed=seed, per_line=0.04, **values) for seed in range(150)]
    measured, variances = (np.array([f[i] for f in found], dtype=float) for i in (0, 1))
    for half in (slice(0, 8), slice(8, 16)):
        empirical = measured[:, half].var(axis=0).mean()  # 128 pixels of 150 exposures: known within a percent
        assert variances[:, half].mean() == pytest.approx(empirical, rel=0.04)
        counts = values["dose"] * math.exp(-0.04 * lines[2 * half.start, 0])
        assert empirical == pytest.approx((counts + values.get("read_noise", 0) ** 2) / counts**2 / 0.04**2, rel=0.06)
    # white: neighbours know nothing of each other
    noise = measured - measured.mean(0)
    assert abs(np.corrcoef(noise[..., 1:].ravel(), noise[..., :-1].ravel())[0, 1]) < 0.02


def test_where_hardly_anything_is_counted_the_variance_is_large_and_finite():
    measured, variance = expose(np.full((32, 32), 12.0), dose=100, read_noise=1)
    assert np.all(np.isfinite(measured))
    assert np.all(np.isfinite(variance))
    assert np.median(variance) > 1


def test_the_transfer_function_is_the_textbook_s():
    pixel, defocus = 0.5, 1.5  # nm, micrometer
    volts = 300e3
    # de Broglie with the electron's rest energy
    h, m, e, c = 6.62607e-34, 9.10938e-31, 1.602177e-19, 2.997925e8
    wavelength = 1e9 * h / math.sqrt(2 * m * e * volts * (1 + e * volts / (2 * m * c**2)))
    assert wavelength == pytest.approx(1.9687e-3, rel=1e-3)
    n = 128
    for cycles in (3, 12, 30):
        frequency = cycles / (2 * n * pixel)
        wave = np.cos(np.pi * cycles * (np.arange(n) + 0.5) / n)[None, :].repeat(8, 0).astype(np.float32)
        phase = math.pi * wavelength * 1e3 * defocus * frequency**2
        for w in (0.1, 0.5, 1.0):
            expected = math.cos(phase) + math.sqrt(1 - w**2) / w * math.sin(phase)
            values = drawn(defocus=defocus, amplitude_contrast=w)
            np.testing.assert_allclose(transfer(wave, pixel, values), expected * wave, atol=2e-3 * max(1, abs(expected)))
            np.testing.assert_allclose(
                transfer(wave.T.copy(), pixel, values), expected * wave.T, atol=2e-3 * max(1, abs(expected))
            )
    flat = np.full((9, 11), 1.3, np.float32)
    np.testing.assert_allclose(transfer(flat, pixel, drawn(defocus=defocus)), flat, rtol=1e-5)
    assert transfer(flat, pixel, drawn()) is flat


def test_the_transfer_function_does_not_reach_across_the_picture():
    ramp = np.linspace(0, 3, 256, dtype=np.float32)[None, :].repeat(16, 0)
    out = transfer(ramp, 5.0, drawn(defocus=2.0))
    np.testing.assert_allclose(out, ramp, atol=0.02)  # a periodic picture would have a step of 3 at either end
    assert not np.array_equal(out, ramp)
