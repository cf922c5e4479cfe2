"""Projection matching: the step, the gauge, and known shifts recovered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import tomoprior
from tomoprior import Geometry, TiltSeries
from tomoprior.alignment import AlignSettings, estimate_alignment
from tomoprior.alignment.center import find_center
from tomoprior.alignment.coarse import correlate_neighbours, find_centres_of_mass
from tomoprior.alignment.matching import match, remove_gauge
from tomoprior.alignment.newton import Response, make_smooth_shifts
from tomoprior.alignment.quality import find_bad_tilts, rate_tilts, weigh_tilts
from tomoprior.errors import InputError
from tomoprior.simulate import Spheres

ANGLES = np.deg2rad(np.arange(-60, 61, 5.0))


def spheres_series(shifts=None, seed=3):
    shape = (24, 24, 48)
    geometry = Geometry(ANGLES, shape)
    spheres = Spheres.random(shape, radius=(3, 6), seed=seed)
    projections = spheres.project(geometry if shifts is None else replace(geometry, shifts=shifts))
    return TiltSeries(projections, geometry)


def test_a_movement_of_the_volume_is_no_shift():
    moved = np.stack([np.full(25, 1.5), 2 * np.cos(ANGLES) - 3 * np.sin(ANGLES)], -1)
    assert remove_gauge(moved, ANGLES, np.ones(25)) == pytest.approx(np.zeros((25, 2)), abs=1e-12)


def blob():
    image = np.zeros((1, 21, 21), np.float32)
    image[0, 10, 10] = 100
    return gaussian_filter(image, (0, 3, 3))


def test_a_step_has_the_sign_of_the_geometry():
    at = blob()
    lower = np.roll(at, 1, axis=1)  # lies one row below its place
    found = match(lower, at, np.ones_like(at))
    assert found.shifts[0] == pytest.approx([1.0, 0.0], abs=0.05)


def test_the_derivative_of_an_image_is_the_difference_of_moved_ones():
    at = blob()
    found = match(at, at, np.ones_like(at))
    moved = found.derivative(np.array([[0.0, 1.0]]), 0.0)
    expected = (np.roll(at, 1, axis=2) - np.roll(at, -1, axis=2)) / 2
    np.testing.assert_allclose(moved[..., 1:-1], expected[..., 1:-1], atol=1e-6)
    assert (
        np.abs(found.derivative(np.zeros((1, 2)), 1.0)).max() < 0.1 * moved.max()
    )  # a round image looks the same when it is turned


def test_a_movement_that_the_volume_follows_takes_its_full_step():
    rng = np.random.default_rng(0)
    at = gaussian_filter(rng.random((25, 21, 21)).astype(np.float32), (0, 2, 2))
    drift = make_smooth_shifts(ANGLES, np.ones(25))[0] * 0.5
    placed = match(at, at, np.ones_like(at))

    def compare(shifts, turn):
        # the volume follows nine tenths of any movement
        image = at + placed.derivative(drift + shifts, turn) * 0.1
        return match(image, at, np.ones_like(at))

    start = compare(np.zeros((25, 2)), 0.0)
    step, _ = Response.measure(start, ANGLES, np.ones(25), lambda s, t: compare(-s, -t), rotate=False).step(start)
    assert np.abs(start.shifts).max() < 0.15 * np.abs(drift).max()  # alone, each tilt corrects a tenth
    assert step == pytest.approx(drift, abs=0.03)


def test_smooth_shifts_are_no_movements_of_the_volume():
    for shift in make_smooth_shifts(ANGLES, np.ones(25)):
        assert np.sum(shift**2) == pytest.approx(1)
        assert remove_gauge(shift, ANGLES, np.ones(25)) == pytest.approx(shift, abs=1e-9)


def test_the_centre_of_mass_of_a_shifted_image():
    image = np.zeros((1, 5, 11), np.float32)
    image[0, 2, 8] = 2.0
    assert find_centres_of_mass(image, np.array([[7.0, 0.0]])) == pytest.approx(np.array([[7.0, 3.0]]))


def test_neighbours_at_one_angle_show_their_drift():
    image = gaussian_filter(np.random.default_rng(0).random((64, 64)), 2) - 0.5
    images = np.stack([np.roll(image, (2 * k, -k), (0, 1)) for k in range(3)]).astype(np.float32)
    found = correlate_neighbours(images, np.array([0.0, 1e-6, 2e-6]))
    assert found == pytest.approx(np.array([[0, 0], [2, -1], [4, -2]]), abs=0.01)


def test_known_shifts_are_recovered():
    shifts = np.random.default_rng(1).normal(size=(25, 2)) * 1.5
    found = estimate_alignment(spheres_series(shifts), AlignSettings(tilt_axis=0.0, search="none"))
    error = remove_gauge(found.shifts - shifts, ANGLES, np.ones(25))
    assert np.sqrt(np.mean(error**2)) < 0.12
    assert found.residuals_after.mean() < 0.5 * found.residuals_before.mean()


@pytest.mark.parametrize(("specimen", "method"), [("isolated", "tv"), ("section", "sirt")])
def test_the_specimen_selects_the_method(specimen, method):
    series = TiltSeries(spheres_series().projections[::3], Geometry(ANGLES[::3], (24, 24, 48)))
    values = {"tilt_axis": 0.0, "search": "none", "specimen": specimen, "num_iter": 5, "num_rounds": 2}
    found, same, other = (
        estimate_alignment(series, AlignSettings(method=name, **values)).shifts
        for name in ("auto", method, "sirt" if method == "tv" else "tv")
    )
    np.testing.assert_array_equal(found, same)
    assert np.abs(found - other).max() > 1e-4


def test_an_aligned_series_reconstructs_better():
    shifts = np.random.default_rng(1).normal(size=(25, 2)) * 1.5
    raw = spheres_series(shifts)
    aligned = tomoprior.align(raw, tilt_axis=0.0, search="none")
    residual = [tomoprior.reconstruct(s, "sirt", num_iter=20, device="cpu").provenance["residual"] for s in (raw, aligned)]
    assert residual[1] < 0.6 * residual[0]
    assert aligned.metadata["alignment"]["axis_angle"] == 0.0


def test_one_tilt_determines_nothing_and_says_so():
    series = spheres_series().select([12])
    found = estimate_alignment(series)
    assert found.statements[0].startswith("alignment is not determined: 1 angle")
    assert not found.shifts.any()


def test_images_without_contrast_say_so():
    flat = TiltSeries(np.ones((25, 24, 48), np.float32), Geometry(ANGLES, (24, 24, 48)))
    found = estimate_alignment(flat, AlignSettings(tilt_axis=0.0, search="none"))
    assert "no contrast" in found.statements[0]


def test_a_narrow_range_does_not_determine_z():
    series = spheres_series()
    narrow = series.angle_range(-0.18, 0.18)
    found = estimate_alignment(narrow, AlignSettings(tilt_axis=0.0, search="none"))
    assert any("along z" in line for line in found.statements)


def test_a_bad_tilt_stands_out_and_counts_less():
    residuals = 0.1 + 0.02 * np.cos(ANGLES)
    residuals[7] = 0.5
    excess = rate_tilts(residuals, ANGLES)
    assert find_bad_tilts(excess) == (7,)
    weights = weigh_tilts(excess)
    assert weights[7] < 0.1
    assert np.delete(weights, 7).min() > 0.9


def test_the_axis_of_a_scan_over_half_a_turn():
    geometry = Geometry(np.deg2rad(np.arange(0, 180, 3.0)), (40, 16, 64), center=29.3)
    volume = Spheres.random((40, 16, 40), radius=(4, 7), seed=2)
    series = TiltSeries(volume.project(geometry), replace(geometry, center=np.full(16, 32.0)))
    assert find_center(series) == pytest.approx(29.3, abs=0.1)


def test_a_narrow_range_has_no_axis_of_its_own():
    with pytest.raises(InputError, match="120 degrees"):
        find_center(spheres_series())
