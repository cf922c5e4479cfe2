"""Planted objects: where they go, and what a response to them says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tomoprior import Geometry
from tomoprior.comparison.evidence.planted import _interpolate, make_spheres, place_objects, planted
from tomoprior.comparison.result import Planted
from tomoprior.reconstruction import Reconstruction

SHAPE = (32, 36, 40)
ANGLES = np.deg2rad(np.arange(-40, 41, 10.0))
GEOMETRY = Geometry(ANGLES, SHAPE)
CENTERS = np.array([[9.0, 9.0, 9.0], [22.0, 26.0, 30.0]])
CONTROLS = np.array([[9.0, 26.0, 9.0], [22.0, 9.0, 30.0]])
OBJECTS = Planted(CENTERS, CONTROLS, 2.5, 0.5)


@pytest.fixture
def respond(share, give):
    """Return the evidence for a method whose response to the objects is the given volume."""
    background = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    shared = replace(share(np.rad2deg(ANGLES), SHAPE), planted=OBJECTS)

    def find(response):
        return planted(shared, give((background + response).astype(np.float32))[0], background)[0]

    return find


def objects(height=1.0, move=(0, 0, 0), which=slice(None)) -> np.ndarray:
    """The objects themselves, with a share of their contrast."""
    moved = replace(OBJECTS, centers=CENTERS[which] + np.array(move), density=0.5 * height)
    return make_spheres(moved, SHAPE).volume(SHAPE)


def test_a_perfect_response_has_all_of_the_contrast_at_the_place(respond):
    found = respond(objects())
    assert found["recovered"] == pytest.approx([1, 1], abs=0.03)
    assert found["contrast"] == pytest.approx(1, abs=0.03)
    assert max(found["displaced"]) < 0.1
    assert found["controls"] == pytest.approx([0, 0], abs=1e-4)
    assert found["invented"] == pytest.approx(0, abs=1e-3)
    assert (found["found"], found["of"]) == (2, 2)


def test_half_the_contrast_is_half_recovered(respond):
    found = respond(objects(0.5))
    assert found["recovered"] == pytest.approx([0.5, 0.5], abs=0.02)
    assert found["found"] == 2


def test_no_response_finds_nothing(respond):
    found = respond(0 * objects())
    assert found["contrast"] == pytest.approx(0, abs=1e-5)
    assert found["found"] == 0


def test_below_a_tenth_of_the_contrast_an_object_is_not_found(respond):
    assert respond(objects(0.09))["found"] == 0
    assert respond(objects(0.12))["found"] == 2


def test_an_object_has_to_stand_out_from_the_controls(respond):
    """Controls at 0.2 and 0.4 of the contrast: mean 0.3, standard deviation 0.1, limit 0.3 + 4 * 0.1 = 0.7."""
    at_controls = [
        make_spheres(replace(OBJECTS, centers=CONTROLS[i : i + 1], density=0.5 * height), SHAPE).volume(SHAPE)
        for i, height in enumerate((0.2, 0.4))
    ]
    low, high = (respond(objects(height) + sum(at_controls)) for height in (0.66, 0.76))
    assert low["controls"] == pytest.approx([0.2, 0.4], abs=0.02)
    assert low["found"] == 0
    assert high["found"] == 2


def test_a_displaced_object_is_measured_and_does_not_count_beyond_its_radius(respond):
    near, far = respond(objects(move=(0, 1.5, 0))), respond(objects(move=(0, 0, 3.0)))
    assert near["displaced"] == pytest.approx([1.5, 1.5], abs=0.15)
    assert near["recovered"][0] < 0.8
    assert near["found"] == 2
    assert far["displaced"] == pytest.approx([3, 3], abs=0.15)
    assert far["found"] == 0


def test_one_of_two_is_one_of_two(respond):
    found = respond(objects(which=slice(1)))
    assert (found["found"], found["of"]) == (1, 2)
    assert found["recovered"] == pytest.approx([1, 0], abs=0.03)
    assert found["contrast"] == pytest.approx(0.5, abs=0.02)


def test_a_response_far_from_all_objects_is_invented(respond):
    elsewhere = make_spheres(replace(OBJECTS, centers=np.array([[22.0, 9.0, 9.0]]), density=0.35), SHAPE).volume(SHAPE)
    found = respond(objects() + elsewhere)
    assert found["invented"] == pytest.approx(0.7, abs=0.03)
    # within three radii of an object it is no invention but a displaced response
    assert respond(objects(move=(0, 5.0, 0)))["invented"] < 0.5


def test_what_lies_at_a_face_of_the_grid_is_not_invented(respond):
    """The correlation is periodic, so the rows next to a face say nothing: half a sphere there has half of the contrast.

    The nearest row that counts is 3 voxels away, where two spheres of radius 2.5 share 0.208 of their volume.
    """
    at_the_face = make_spheres(replace(OBJECTS, centers=np.array([[0.0, 9.0, 30.0]])), SHAPE).volume(SHAPE)
    assert respond(objects() + at_the_face)["invented"] < 0.25


def test_heights_between_voxels_are_interpolated():
    z, y, x = np.indices((4, 5, 6))
    assert _interpolate(z + 10.0 * y + 100.0 * x, np.array([1.25, 2.5, 3.75])) == pytest.approx(1.25 + 25 + 375)


def test_the_method_sees_the_objects_in_every_tilt(share, give):
    shared = replace(share(np.rad2deg(ANGLES), SHAPE), planted=OBJECTS)
    seen = []

    def reconstruct(series, stage):
        seen.append((stage, series.projections - shared.series.projections))
        return give(np.zeros(SHAPE, np.float32))[0](series, stage)

    planted(shared, reconstruct, np.zeros(SHAPE, np.float32))
    ((stage, added),) = seen
    assert stage == "planted"
    # the mass of two spheres of radius 2.5 and density 0.5 is in every tilt: 2 * 4/3 pi 2.5^3 * 0.5
    assert added.sum((1, 2)) == pytest.approx(np.full(len(ANGLES), 65.45), rel=0.02)


def test_the_microscope_acts_on_the_objects_too(share):
    """A transfer of a half at all frequencies halves what the objects add to each tilt."""
    plain = replace(share(np.rad2deg(ANGLES), SHAPE), planted=OBJECTS)
    rows, columns = plain.series.projections.shape[1:]
    transfer = np.full((len(ANGLES), rows, columns // 2 + 1), 0.5, np.float32)
    added = []

    for shared in (plain, replace(plain, series=replace(plain.series, transfer=transfer))):

        def reconstruct(series, stage, own=shared.series):
            added.append(series.projections - own.projections)
            return Reconstruction(np.zeros(SHAPE, np.float32), GEOMETRY)

        planted(shared, reconstruct, np.zeros(SHAPE, np.float32))
    assert added[0].max() > 1
    np.testing.assert_allclose(added[1], added[0] / 2, atol=1e-5)


@pytest.mark.parametrize("shape", [(12, 36, 40), (32, 12, 40), (32, 36, 12)])
def test_objects_are_small_in_a_small_grid(shape):
    """A sixth of the shortest axis: 12 / 6 = 2 voxels, instead of 2.5."""
    assert place_objects(Geometry(np.deg2rad([-5.0, 0.0, 5.0]), shape), 0.5, None, 0).radius == 2


def test_a_grid_without_room_has_no_objects():
    assert place_objects(Geometry(ANGLES, (7, 36, 40)), 0.5, None, 0) is None  # 7 / 6 is below 1.2
    assert place_objects(Geometry(ANGLES, (12, 12, 12)), 0.5, None, 0) is None  # no two places are four radii apart


def test_a_single_object_is_in_the_middle_voxel_with_density_one():
    volume = make_spheres(OBJECTS, SHAPE, single=True).volume(SHAPE)
    assert volume[16, 18, 20] > 0.95  # a voxel of the analytic phantom is a mean over the voxel
    assert volume.sum() == pytest.approx(4 / 3 * np.pi * 2.5**3, rel=0.02)
    centre = [np.sum(axis * volume) / volume.sum() for axis in np.indices(SHAPE)]
    assert centre == pytest.approx([16, 18, 20], abs=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_places_are_apart_inside_and_seen_by_every_tilt(seed):
    found = place_objects(GEOMETRY, 0.5, None, seed)
    places = np.concatenate([found.centers, found.controls])
    assert found.centers.shape == found.controls.shape == (4, 3)
    assert (found.radius, found.density) == (2.5, 0.5)
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1) + 1e3 * np.eye(8)
    assert distances.min() >= 4 * 2.5
    assert np.all(places >= 3.5)
    assert np.all(places <= np.array(SHAPE) - 1 - 3.5)
    z, x = places[:, :1] - 15.5, places[:, 2:] - 19.5
    u = x * np.cos(ANGLES) - z * np.sin(ANGLES) + 19.5  # in pixels of the detector
    assert u.min() > 3.5
    assert u.max() < 39 - 3.5


@pytest.mark.parametrize(("center", "limits"), [(10.0, (13.5, 35.5)), (20.0, (3.5, 35.5)), (30.0, (3.5, 25.5))])
def test_a_detector_off_the_centre_sees_less_on_one_side(center, limits):
    """``center`` is the axis' pixel plus 0.5: with 10 the voxel 19.5 is seen at pixel 9.5, and a place at 13.5 at pixel 3.5."""
    shifted = Geometry([0.0], SHAPE, center=center)
    x = np.concatenate([place_objects(shifted, 0.5, None, seed).centers for seed in range(150)])[:, 2]
    assert limits[0] <= x.min() < limits[0] + 0.3
    assert limits[1] - 0.3 < x.max() <= limits[1]


def test_tilts_to_one_side_see_places_that_the_other_side_does_not():
    """At 50 degrees a place is seen at x cos - z sin, here on a detector of 20 pixels."""
    geometry = Geometry(np.deg2rad([50.0]), SHAPE, (36, 20))
    for seed in range(10):
        at = place_objects(geometry, 0.5, None, seed).centers
        u = (at[:, 2] - 19.5) * np.cos(np.deg2rad(50)) - (at[:, 0] - 15.5) * np.sin(np.deg2rad(50)) + 9.5
        assert np.all((u > 3.5) & (u < 15.5))


def test_places_are_inside_the_mask():
    mask = np.zeros((SHAPE[0], SHAPE[2]), np.float32)
    mask[:, 18:] = 1
    found = place_objects(GEOMETRY, 0.5, mask, 0)
    assert np.concatenate([found.centers, found.controls])[:, 2].min() >= 18 + 3.5
    mask[:] = 0
    mask[10:14] = 1
    assert place_objects(GEOMETRY, 0.5, mask, 0) is None


def test_another_seed_other_places_and_the_same_seed_the_same():
    a, b, c = (place_objects(GEOMETRY, 0.5, None, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.centers, b.centers)
    assert not np.array_equal(a.centers, c.centers)
