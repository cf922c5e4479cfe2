"""The conventions of a fan beam, its refusals, and what it has in common with a parallel beam."""

import json
import pickle

import numpy as np
import pytest

from tomoprior import FanGeometry, Geometry
from tomoprior.errors import GeometryError

ANGLES = np.deg2rad([-60.0, 0.0, 35.0, 90.0])
FAN = {"source_distance": 30.0, "detector_distance": 15.0}


@pytest.fixture
def fan():
    shifts = np.array([[0.5, -1.0], [0.0, 0.25], [-2.0, 0.0], [1.0, 1.0]])
    center = np.array([5.1, 5.2, 5.3, 5.4, 5.5])
    return FanGeometry(ANGLES, (6, 5, 9), (5, 11), center, shifts, 2.5, "nanometer", pixel_size=1.2, **FAN)


def test_a_pixel_is_one_voxel_wide_at_the_axis_unless_it_is_given(fan):
    assert FanGeometry(ANGLES, (6, 5, 9), **FAN).pixel_size == 1.5
    assert fan.pixel_size == 1.2
    assert fan.magnification == 1.5


def test_the_source_turns_from_plus_z_to_plus_x():
    """At 0 degrees the source lies at Z = 30: a point at Z = 10 is magnified by 45 / 20; at 90 degrees it lies at X = 30."""
    fan = FanGeometry(np.deg2rad([0, 90]), (9, 1, 9), (1, 40), **{**FAN, "pixel_size": 1.0})
    at = fan.detector_positions([4.0, 10.0], [10.0, 4.0], 0) - 19.5
    np.testing.assert_allclose(at, [[4 * 45 / 20, 10 * 45 / 26], [-10 * 45 / 26, -4 * 45 / 20]])


def test_center_and_shift_move_the_position_on_the_detector(fan):
    # the axis lies at the index center - 0.5, plus the tilt's shift
    np.testing.assert_allclose(fan.detector_positions(0.0, 0.0, 2), 5.3 - 0.5 + fan.shifts[:, 1])


@pytest.mark.parametrize(
    "make", [lambda **k: Geometry(ANGLES, (6, 1, 9), center=4.0), lambda **k: FanGeometry(ANGLES, (6, 1, 9), center=4.0, **FAN)]
)
def test_the_parallel_ray_of_a_point_passes_through_it(make):
    geometry, x, z = make(), 2.3, -1.7
    phi, u = geometry.parallel_coordinates(geometry.detector_positions(x, z, 0), 0)
    np.testing.assert_allclose(x * np.cos(phi) - z * np.sin(phi), u, atol=1e-12)


def test_growing_distances_approach_the_parallel_beam():
    parallel = Geometry(ANGLES, (6, 1, 9), center=4.0)
    x, z = np.random.default_rng(0).uniform(-4, 4, (2, 20))
    errors = []
    for distance in (1e3, 1e5):
        fan = FanGeometry(ANGLES, (6, 1, 9), center=4.0, source_distance=distance, detector_distance=2 * distance)
        errors.append(np.abs(fan.detector_positions(x, z, 0) - parallel.detector_positions(x, z, 0)).max())
    assert errors[0] < 0.04
    assert errors[1] == pytest.approx(errors[0] / 100, rel=0.02)


def test_every_operation_returns_a_fan(fan):
    for other in (fan.select([0, 2]), fan.rows(1, 3), fan.padded(2), fan.with_thickness(4), fan.flipped_hand(), fan.binned(1)):
        assert type(other) is FanGeometry
        assert (other.source_distance, other.detector_distance, other.pixel_size) == (30.0, 15.0, 1.2)
    half = fan.binned(2)
    assert (half.source_distance, half.detector_distance, half.pixel_size, half.voxel_size) == (15.0, 7.5, 1.2, 5.0)
    np.testing.assert_allclose(half.center, [5.15 / 2, 5.35 / 2])


def test_a_point_keeps_its_place_on_a_binned_detector():
    fan = FanGeometry(ANGLES, (8, 2, 8), (2, 24), 11.0, **FAN)
    # the index d of a pixel's centre is (d + 0.5) / 2 - 0.5 on the binned detector
    expected = (fan.detector_positions(3.0, -2.0, 0) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(fan.binned(2).detector_positions(1.5, -1.0, 0), expected)


def test_it_survives_json_and_pickle_and_differs_from_the_parallel_beam(fan):
    restored = Geometry.from_dict(json.loads(json.dumps(fan.to_dict())))
    assert type(restored) is FanGeometry
    assert restored == fan == pickle.loads(pickle.dumps(fan))
    assert hash(restored) == hash(fan)
    parallel = Geometry(fan.angles, fan.shape, fan.detector, fan.center, fan.shifts, fan.voxel_size, fan.unit)
    assert type(Geometry.from_dict(parallel.to_dict())) is Geometry
    assert parallel != fan
    assert FanGeometry.from_dict({**fan.to_dict(), "source_distance": 31.0}) != fan
    assert "source 30, pixels of 1.2" in repr(fan)


@pytest.mark.parametrize(
    "values", [{"source_distance": 0}, {"detector_distance": -1.0}, {"pixel_size": np.nan}, {"source_distance": "far"}]
)
def test_values_that_are_not_positive_numbers_are_refused(values):
    with pytest.raises(GeometryError, match="must be a positive number"):
        FanGeometry(ANGLES, (6, 5, 9), **{**FAN, **values})


def test_a_source_within_the_grid_is_refused():
    with pytest.raises(GeometryError, match="a source at 5 voxels from the axis lies within reach of the grid"):
        FanGeometry(ANGLES, (6, 5, 9), source_distance=5, detector_distance=15)
    with pytest.raises(GeometryError, match="within reach of the grid"):
        FanGeometry(ANGLES, (6, 5, 9), **FAN).padded(40)
    with pytest.raises(GeometryError, match="not the values of a geometry"):
        FanGeometry.from_dict({"angles": [0.1], "shape": [2, 2, 2]})
