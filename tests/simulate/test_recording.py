"""Tilt series of tissue: series, truth and true geometry fit together, and everything that is drawn does what it says."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tomoprior import Geometry, Projector
from tomoprior.errors import GeometryError, InputError, SettingsError
from tomoprior.simulate import MicroscopeSettings, Tissue, tilt_series
from tomoprior.simulate.microscope import expose_tilt
from tomoprior.simulate.recording import recording_bytes

ANGLES = np.deg2rad(np.arange(-60, 61, 10))
SHAPE = (16, 24, 32)

#: Every error off, and a dose without noise.
IDEAL = {
    "thickness": 1, "roughness": 0, "stain_gradient": 0, "gamma": 1, "angle_error": 0, "axis_error": 0, "shift_error": 0,
    "drift": 0, "magnification_error": 0, "attenuation": 0.5, "saturation": 0, "blur": 0, "dose": 1e12, "read_noise": 0,
    "gain_error": 0, "offset_error": 0, "outliers": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def tissue():
    smooth = gaussian_filter(np.random.default_rng(0).standard_normal((130, 130, 130), dtype=np.float32), 3)
    return Tissue.of(np.uint8(255 * (smooth - smooth.min()) / np.ptp(smooth)), 10.0)


@pytest.fixture(scope="module")
def ideal(tissue):
    return tilt_series(tissue, SHAPE, ANGLES, seed=1, **IDEAL)


def record(tissue, shape=SHAPE, angles=ANGLES, *, seed=1, **values):
    return tilt_series(tissue, shape, angles, seed=seed, **{**IDEAL, **values})


def displacement(found, expected):
    """(dy, du) in pixels from ``expected`` to ``found``, both ``(n, ny, nu)``, by least squares."""
    expected = expected.astype(np.float64)
    slopes = np.stack([-np.gradient(expected, axis=axis).ravel() for axis in (1, 2)], axis=1)
    return np.linalg.lstsq(slopes, (found - expected).ravel(), rcond=None)[0]


def each(found, expected):
    return np.array([displacement(found[i : i + 1], expected[i : i + 1]) for i in range(len(found))])


@pytest.mark.parametrize("shape", [(16, 24, 32), (15, 23, 31)])
@pytest.mark.parametrize("voxel_size", [None, 17.0, 27.0, 34.0])
def test_projecting_the_truth_gives_the_series_in_its_place(tissue, shape, voxel_size):
    made = tilt_series(tissue, shape, ANGLES, seed=1, voxel_size=voxel_size, truth_pad=40, **IDEAL)
    assert made.truth.volume.shape == (shape[0], shape[1], shape[2] + 80)
    assert made.series.geometry == Geometry(ANGLES, shape, voxel_size=voxel_size or 20.0, unit="nanometer")
    again = Projector(made.truth.geometry, "cpu")(made.truth.volume)
    found = made.series.projections
    assert found.shape == again.shape
    assert np.linalg.norm(found - again) < 0.01 * np.linalg.norm(again)
    assert np.std(found - again) < 0.04 * np.std(again)
    assert np.abs(displacement(found, again)).max() < 0.003
    assert np.abs(each(found, again)).max() < 0.02
    # and it is no inverse crime: not the same numbers
    assert np.linalg.norm(found - again) > 1e-4 * np.linalg.norm(again)


def test_a_wider_truth_holds_the_truth_in_its_middle(tissue, ideal):
    wide = record(tissue, seed=1)
    for pad in (3, 40):
        padded = tilt_series(tissue, SHAPE, ANGLES, seed=1, truth_pad=pad, **IDEAL)
        if pad == 3:  # no wider than what the rays cross anyway, and so the same place
            np.testing.assert_array_equal(padded.truth.volume[:, :, pad:-pad], wide.truth.volume)
            np.testing.assert_array_equal(padded.series.projections, wide.series.projections)
        assert padded.truth.geometry == padded.series.geometry.padded(pad)
    assert ideal.truth.geometry == ideal.series.geometry


def test_a_seed_repeats_all_and_another_changes_all(tissue):
    first, same, other = (tilt_series(tissue, SHAPE, ANGLES, seed=seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first.series.projections, same.series.projections)
    np.testing.assert_array_equal(first.truth.volume, same.truth.volume)
    np.testing.assert_array_equal(first.variance, same.variance)
    assert first.record == same.record
    assert not np.allclose(first.truth.volume, other.truth.volume, atol=0.1)
    assert first.record["drawn"] != other.record["drawn"]
    assert first.record["errors"] != other.record["errors"]


@pytest.mark.parametrize(
    "changes",
    [{"shift_error": 0, "drift": 0}, {"angle_error": 0}, {"outliers": 1}, {"dose": 1e6, "read_noise": 9}, {"gain_error": 0}],
)
def test_the_specimen_does_not_depend_on_the_errors_of_its_tilts(tissue, changes):
    first = tilt_series(tissue, SHAPE, ANGLES, seed=5)
    other = tilt_series(tissue, SHAPE, ANGLES, seed=5, **changes)
    np.testing.assert_array_equal(other.truth.volume, first.truth.volume)
    assert not np.array_equal(other.series.projections, first.series.projections)
    same = {"magnification", "angle"} - {"angle" for name in changes if name == "angle_error"}
    assert all(other.record["errors"][name] == first.record["errors"][name] for name in same)


def test_without_a_random_place_the_section_is_cut_from_the_middle(tissue):
    made = tilt_series(tissue, SHAPE, ANGLES, seed=7, random_place=False, **IDEAL)
    np.testing.assert_allclose(made.truth.volume, tissue.block(SHAPE, 2.0), atol=1e-6)
    assert made.record["random_place"] is False


def test_the_specimen_s_settings_change_the_truth(tissue, ideal):
    flat = ideal.truth.volume
    np.testing.assert_allclose(record(tissue, gamma=2).truth.volume.mean(), (flat**2).mean(), rtol=0.02)
    thin = record(tissue, thickness=0.5).truth.volume
    used = np.flatnonzero(thin.any(axis=(1, 2)))
    assert 8 <= len(used) <= 10
    np.testing.assert_allclose(thin[used[1:-1]], flat[used[1:-1]], atol=1e-6)
    graded = record(tissue, stain_gradient=0.3).truth.volume
    stained = flat > 0.1
    np.testing.assert_allclose((graded[stained] / flat[stained]).mean(), 1, atol=0.02)
    np.testing.assert_allclose(np.mean(graded[-1]) / np.mean(flat[-1]), 1.3 * (1 - 1 / 80), rtol=0.03)
    gold = record(tissue, beads=40, bead_radius=1.5, bead_density=5).truth.volume
    assert gold.max() == pytest.approx(5, rel=0.01)
    assert 0 < (gold > 2).mean() < 0.1


def test_attenuation_is_that_of_the_least_tilt(tissue):
    for attenuation in (0.3, 1.2):
        made = record(tissue, attenuation=attenuation)
        factor = made.record["made"]["attenuation_per_voxel"]
        assert factor * made.series.projections[6].mean() == pytest.approx(attenuation, rel=0.1)
        np.testing.assert_allclose(made.series.projections[6].mean(), made.truth.volume.sum(0).mean(), rtol=0.01)


def test_shifts_move_the_tilts_as_the_true_geometry_says(tissue, ideal):
    made = record(tissue, shift_error=0.8, drift=1.0)
    true = made.geometry
    assert true.shifts.std() > 0.5
    small = record(tissue, shift_error=0.2)
    np.testing.assert_allclose(each(small.series.projections, ideal.series.projections), small.geometry.shifts, atol=0.05)
    # the series does not know, the truth lies where it lay, and with the true geometry the two fit
    assert made.series.geometry == ideal.series.geometry
    np.testing.assert_array_equal(made.truth.volume, ideal.truth.volume)
    wide = tilt_series(tissue, SHAPE, ANGLES, seed=1, truth_pad=44, **{**IDEAL, "shift_error": 0.8, "drift": 1.0})
    again = Projector(replace(wide.geometry, shape=wide.truth.volume.shape), "cpu")(wide.truth.volume)
    inner = (slice(None), slice(4, -4))  # what lies above and below the grid, the projector cannot know
    assert np.abs(each(wide.series.projections[inner], again[inner])).max() < 0.03


def test_true_angles_are_where_the_rays_ran(tissue):
    wide = tilt_series(tissue, SHAPE, ANGLES, seed=1, truth_pad=40, **{**IDEAL, "angle_error": 2.0})
    off = np.rad2deg(wide.geometry.angles - ANGLES)
    assert 1 < off.std() < 4
    grid = wide.truth.volume.shape
    apart = [np.linalg.norm(Projector(replace(g, shape=grid), "cpu")(wide.truth.volume) - wide.series.projections)
             for g in (wide.geometry, wide.series.geometry)]  # fmt: skip
    assert apart[0] < 0.3 * apart[1]


def test_axis_and_magnification_are_in_the_pictures_alone(tissue, ideal):
    turned = record(tissue, axis_error=(2, 2))
    plain = ideal.series.projections
    assert turned.geometry == ideal.geometry
    # growing rows turn towards growing columns: the upper half moves to the left, the lower to the right
    for rows, sign in ((slice(0, 8), -1), (slice(16, 24), 1)):
        moved = displacement(turned.series.projections[:, rows], plain[:, rows])
        assert moved[1] == pytest.approx(sign * 8 * np.sin(np.deg2rad(2)), abs=0.06)
    grown = record(tissue, magnification_error=0.5)
    factors = np.array(grown.record["errors"]["magnification"])
    right, left = (each(grown.series.projections[:, :, c], plain[:, :, c])[:, 1] for c in (slice(22, 32), slice(0, 10)))
    np.testing.assert_allclose(right - left, 22 * (factors - 1), rtol=0.3, atol=0.01)


def test_brightness_and_dark_level(tissue, ideal):
    plain = ideal.series.projections
    per_line = ideal.record["made"]["attenuation_per_voxel"]
    bright = record(tissue, gain_error=0.05)
    gain = np.array(bright.record["errors"]["gain"])
    np.testing.assert_allclose((bright.series.projections - plain).mean((1, 2)), -np.log(gain) / per_line, atol=1e-3 / per_line)
    dark = record(tissue, offset_error=0.01)
    level = (np.exp(-per_line * dark.series.projections) - np.exp(-per_line * plain)).mean((1, 2))
    np.testing.assert_allclose(level, dark.record["errors"]["offset"], atol=1e-4)


def test_saturation_bends_the_line_integrals(tissue, ideal):
    made = record(tissue, saturation=0.3)
    per_line = ideal.record["made"]["attenuation_per_voxel"]
    expected = (1 - np.exp(-0.3 * per_line * ideal.series.projections)) / 0.3 / per_line
    np.testing.assert_allclose(made.series.projections, expected, rtol=3e-3)


def test_spoilt_tilts_are_what_the_record_says(tissue, ideal):
    seen = set()
    for seed in range(1, 9):
        made, calm = record(tissue, seed=seed, outliers=1), record(tissue, seed=seed)
        spoilt, kinds = made.record["spoilt_tilts"], np.array(made.record["errors"]["kind"])
        assert 1 <= len(spoilt) <= 3
        np.testing.assert_array_equal(np.flatnonzero(kinds), spoilt)
        shifts = np.zeros((13, 2)) if made.geometry.shifts is None else made.geometry.shifts
        jumped = kinds == 1
        assert np.all((np.abs(shifts[jumped]) >= 5) & (np.abs(shifts[jumped]) <= 10))
        assert not shifts[~jumped].any()
        for tilt in spoilt:
            seen.add(int(kinds[tilt]))
            if kinds[tilt] == 3:
                per_line = made.record["made"]["attenuation_per_voxel"]
                beyond = per_line * (made.series.projections - calm.series.projections)[tilt]
                np.testing.assert_allclose(beyond[:, -1], -np.log(0.05), atol=0.01)
    assert seen == {1, 2, 3}


def test_there_is_tissue_wherever_a_tilt_jumps(tissue):
    """A border that repeats its last pixel would show as rows or columns that are all alike, a mirror as two at most."""
    jumps = 0
    for seed in range(1, 30):
        made = record(tissue, (8, 24, 32), [-0.5, -0.2, 0.0, 0.2, 0.5], seed=seed, outliers=1)
        for tilt in np.flatnonzero(np.array(made.record["errors"]["kind"]) == 1):
            jumps += 1
            image = made.series.projections[tilt]
            for axis in (0, 1):
                steps = np.abs(np.diff(image, axis=axis)).max(axis=1 - axis)
                for border in (steps[:6], steps[-6:]):
                    assert np.sort(border)[1] > 0.1 * np.median(steps)
        if jumps > 5:
            return
    pytest.fail("hardly a tilt jumped")


@pytest.mark.parametrize(
    ("columns", "steepest", "errors"), [(16, 75.0, {"angle_error": 1.0, "shift_error": 2.0}), (64, 65.0, {"angle_error": 3.0})]
)
def test_steep_tilts_see_tissue_up_to_their_borders(columns, steepest, errors):
    # dense throughout: a ray is as long as the section's thickness over the cosine, everywhere
    solid = Tissue(np.broadcast_to(np.uint8(0), (400, 400, 400)), 10.0, "nanometer", 255.0, 0.0)
    for seed in range(3):
        made = record(solid, (8, 6, columns), np.deg2rad([-steepest, 0.0, steepest]), seed=seed, attenuation=0.2, **errors)
        expected = 8 / np.cos(made.geometry.angles)
        np.testing.assert_allclose(
            made.series.projections, np.broadcast_to(expected[:, None, None], (3, 6, columns)), rtol=2e-3
        )


def test_noise_is_unbiased_and_as_large_as_the_variance_says(tissue, ideal):
    settings = {**IDEAL, "dose": 800, "read_noise": 2}
    made = tilt_series(tissue, SHAPE, ANGLES, seed=1, **settings)
    noise = (made.series.projections - ideal.series.projections).astype(float)
    ratio = noise**2 / made.variance
    assert made.variance.shape == made.series.geometry.range_shape
    for tilt in range(13):  # 768 pixels: a standard deviation is 5 percent
        assert ratio[tilt].mean() == pytest.approx(1, abs=0.2)
    assert ratio.mean() == pytest.approx(1, abs=0.04)
    # the logarithm's own bias, half the relative variance of the counts
    per_line = made.record["made"]["attenuation_per_voxel"]
    assert noise.mean() * per_line == pytest.approx((made.variance * per_line**2).mean() / 2, abs=0.002)
    # steep tilts let less through
    assert made.variance[0].mean() > 1.3 * made.variance[6].mean()
    # another seed draws other noise at the same place only by another stream
    assert not np.array_equal(noise[0], noise[1])


def test_the_record_is_complete_and_plain(tissue):
    made = tilt_series(tissue, SHAPE, ANGLES, seed=3, beads=(0, 4))
    plain = json.loads(json.dumps(made.record))
    assert Geometry.from_dict(plain["true_geometry"]) == made.geometry
    assert Geometry.from_dict(plain["nominal_geometry"]) == made.series.geometry
    assert MicroscopeSettings.parse(plain["settings"]) == MicroscopeSettings(beads=(0, 4))
    assert plain["made"]["tissue_shape"] == [130, 130, 130]
    np.testing.assert_array_equal(plain["errors"]["shift"], made.geometry.shifts)
    again = tilt_series(tissue, SHAPE, ANGLES, seed=plain["seed"], settings=MicroscopeSettings.parse(plain["settings"]))
    np.testing.assert_array_equal(again.series.projections, made.series.projections)
    assert made.series.metadata["simulation"] is made.record
    assert json.loads(json.dumps(again.record)) == plain
    for array in (made.series.projections, made.truth.volume, made.variance):
        assert array.dtype == np.float32
        assert np.all(np.isfinite(array))


def test_progress_counts_the_tilts(tissue):
    steps = []
    record(tissue, (8, 8, 8), ANGLES[:3], progress=lambda *step: steps.append(step))
    assert steps == [(1, 3, {}), (2, 3, {}), (3, 3, {})]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"angles": [0.0, np.deg2rad(81)]}, InputError, "81 degrees: at most 80"),
        ({"angles": [0.0, 60.0]}, GeometryError, "degrees"),
        ({"angles": []}, GeometryError, "at least one"),
        ({"shape": (16, 24)}, GeometryError, "shape"),
        ({"shape": (16, 24, 2000)}, InputError, "more than a volume of 130 can fill"),
        ({"voxel_size": 9.9}, InputError, "finer than the tissue's 10"),
        ({"voxel_size": np.nan}, InputError, "finer than"),
        ({"voxel_size": -20.0}, InputError, "finer than"),
        ({"seed": -1}, InputError, "seed must be"),
        ({"seed": 1.5}, InputError, "seed must be"),
        ({"truth_pad": -1}, InputError, "truth_pad"),
        ({"truth_pad": 0.5}, InputError, "truth_pad"),
        ({"thickness": 1.2}, SettingsError, "thickness"),
        ({"dose": (5, 1)}, SettingsError, "dose"),
        ({"snr": 1}, SettingsError, "no setting is called 'snr'"),
        ({"settings": MicroscopeSettings(), "dose": 5}, SettingsError, "give one"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(tissue, changes, error, message):
    given = {"shape": SHAPE, "angles": ANGLES, **changes}
    with pytest.raises(error, match=message) as raised:
        tilt_series(tissue, given.pop("shape"), given.pop("angles"), **given)
    assert "\n" not in str(raised.value)


def test_the_transfer_function_works_on_the_fine_pixels(tissue, monkeypatch):
    seen = []

    def spy(lines, per_line, kind, gain, offset, drawn, bins, pixel_nm, rng):
        seen.append((lines.shape, bins, pixel_nm))
        return expose_tilt(lines, per_line, kind, gain, offset, drawn, bins, pixel_nm, rng)

    monkeypatch.setattr("tomoprior.simulate.recording.expose_tilt", spy)
    _, ny, nx = SHAPE
    # voxels of 20 nm with two fine pixels along each edge; with 20 nm instead the phase would be a quarter of what it is
    record(tissue, voxel_size=20.0, defocus=1.0)
    assert set(seen) == {((2 * ny, 2 * nx), 2, 10.0)}


def test_a_length_is_needed_where_physics_asks_for_one(tissue):
    pixels = replace(tissue, unit="pixel")
    with pytest.raises(InputError, match="defocus needs"):
        tilt_series(pixels, SHAPE, ANGLES, defocus=1)
    assert tilt_series(pixels, SHAPE, ANGLES[:2]).series.geometry.unit == "pixel"
    # the same length in another unit is the same picture
    angstrom = replace(tissue, voxel_size=100.0, unit="angstrom")
    pictures = [record(t, angles=ANGLES[:2], defocus=50, seed=2).series.projections for t in (tissue, angstrom)]
    np.testing.assert_allclose(*pictures, rtol=1e-5)
    assert not np.allclose(pictures[0], record(tissue, angles=ANGLES[:2], seed=2).series.projections, rtol=1e-3)


def test_an_empty_section_is_refused(tissue):
    void = Tissue(np.full((130, 130, 130), 255, np.uint8), 10.0, "nanometer", 255.0, 0.0)
    with pytest.raises(InputError, match="empty"):
        tilt_series(void, SHAPE, ANGLES)


def test_memory_is_estimated_before_the_work(tissue):
    assert recording_bytes(tissue, SHAPE, ANGLES) > 4 * 8 * np.prod(SHAPE)
    assert recording_bytes(tissue, (32, 48, 64), ANGLES) > recording_bytes(tissue, SHAPE, ANGLES)
    assert recording_bytes(tissue, SHAPE, ANGLES, 20.0, MicroscopeSettings(shift_error=20)) > recording_bytes(
        tissue, SHAPE, ANGLES
    )
    with pytest.raises(InputError, match="finer than"):
        recording_bytes(tissue, SHAPE, ANGLES, np.nan)
