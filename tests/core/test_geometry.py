"""The conventions that tomoprior.geometry states, and its refusals."""

import json
import pickle

import numpy as np
import pytest

from tomoprior import Geometry
from tomoprior.errors import GeometryError

ANGLES = np.deg2rad([-60.0, -20.0, 0.0, 35.0])


@pytest.fixture
def geometry():
    shifts = np.array([[0.5, -1.0], [0.0, 0.25], [-2.0, 0.0], [1.0, 1.0]])
    return Geometry(ANGLES, (6, 5, 9), (5, 11), np.array([5.1, 5.2, 5.3, 5.4, 5.5]), shifts, 2.5, "nanometer")


def test_the_defaults_put_the_axis_in_the_middle_of_a_detector_as_wide_as_the_grid():
    g = Geometry(ANGLES, (6, 5, 9))
    assert g.detector == (5, 9)
    assert g.center.tolist() == [4.5] * 5
    assert g.shifts is None
    assert (g.n_angles, g.range_shape, g.domain_shape) == (4, (4, 5, 9), (6, 5, 9))
    assert (g.voxel_size, g.unit) == (1.0, "pixel")
    assert Geometry(ANGLES, (6, 5, 9), (5, 12)).center.tolist() == [6.0] * 5


def test_a_centre_right_of_the_middle_and_a_shift_to_the_right_move_the_detector_to_the_left():
    # d = u + center - 0.5 + dx, so the detector's middle d = (nu - 1) / 2 lies at u = nu / 2 - center - dx
    g = Geometry(ANGLES, (6, 2, 9), (2, 11), center=[5.5, 6.25], shifts=[[0, 0], [0, 1], [0, -0.5], [0, 0]])
    assert g.offsets(0).tolist() == [0, -1, 0.5, 0]
    assert g.offsets(1).tolist() == [-0.75, -1.75, -0.25, -0.75]


def test_one_centre_stands_for_all_slices():
    for center in (4.25, [4.25], np.float32(4.25), np.array([4.25, 4.25])):
        assert Geometry(ANGLES, (3, 2, 9), center=center).center.tolist() == [4.25, 4.25]


def test_arrays_are_copied_and_frozen():
    angles = ANGLES.copy()
    g = Geometry(angles, (3, 2, 9))
    angles[0] = 1.0
    assert g.angles[0] == ANGLES[0]
    for array in (g.angles, g.center):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_slices_are_coupled_by_shifts_along_y_only(geometry):
    assert geometry.couples_slices
    assert not Geometry(ANGLES, (3, 2, 9), shifts=np.tile([0.0, 1.5], (4, 1))).couples_slices
    assert not Geometry(ANGLES, (3, 2, 9)).couples_slices
    assert Geometry(ANGLES, (3, 2, 9), shifts=np.zeros((4, 2))).shifts is None


@pytest.mark.parametrize("angle", [4 * np.pi + 1e-6, -60.0, 90.0])
def test_angles_in_degrees_are_refused_and_the_message_says_so(angle):
    with pytest.raises(GeometryError, match="degrees") as caught:
        Geometry([0.0, angle], (3, 2, 9))
    assert "deg2rad" in str(caught.value)


def test_angles_up_to_two_turns_are_accepted():
    assert Geometry([-4 * np.pi, 4 * np.pi], (3, 2, 9)).n_angles == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"angles": []}, "at least one"),
        ({"angles": 0.5}, "shape"),
        ({"angles": [[0.1, 0.2]]}, "shape"),
        ({"angles": [0.0, np.nan]}, "finite"),
        ({"angles": ["a", "b"]}, "numbers"),
        ({"angles": [0.1 + 1j]}, "numbers"),
        ({"shape": (3, 2)}, "nz, ny, nx"),
        ({"shape": 5}, "nz, ny, nx"),
        ({"shape": (3, 2, 0)}, "at least 1"),
        ({"shape": (3, 2, -1)}, "at least 1"),
        ({"shape": (3, 2.0, 4)}, "whole numbers"),
        ({"shape": (3, True, 4)}, "whole numbers"),
        ({"detector": (3, 9)}, "must be equal"),
        ({"detector": (2,)}, "ny, nu"),
        ({"center": [1.0, 2.0, 3.0]}, "one per slice"),
        ({"center": np.inf}, "finite"),
        ({"center": 100.0}, "far outside"),
        ({"center": [4.0, -20.0]}, "-20 lies far outside"),
        ({"shifts": np.zeros((3, 2))}, "each of 4 tilts"),
        ({"shifts": np.zeros(4)}, "shape"),
        ({"shifts": np.full((4, 2), np.nan)}, "finite"),
        ({"voxel_size": 0.0}, "positive"),
        ({"voxel_size": -1.0}, "positive"),
        ({"voxel_size": np.inf}, "positive"),
        ({"voxel_size": np.nan}, "positive"),
        ({"voxel_size": "1"}, "positive"),
        ({"unit": "furlong"}, "angstrom"),
    ],
)
def test_an_impossible_geometry_is_refused_in_one_line(change, message):
    with pytest.raises(GeometryError, match=message) as caught:
        Geometry(**{"angles": ANGLES, "shape": (3, 2, 9), **change})
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_a_selection_keeps_order_and_shifts(geometry):
    for views in ([3, 0], np.array([3, 0])):
        part = geometry.select(views)
        assert part.angles.tolist() == ANGLES[[3, 0]].tolist()
        assert part.shifts.tolist() == geometry.shifts[[3, 0]].tolist()
        assert part.center.tolist() == geometry.center.tolist()
    mask = np.array([True, False, True, False])
    assert geometry.select(mask) == geometry.select([0, 2])
    assert geometry.select(mask.tolist()) == geometry.select([0, 2])


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ([], "empty"),
        (np.zeros(4, bool), "empty"),
        ([4], "tilt 4 does not exist"),
        ([-1], "tilt -1 does not exist"),
        ([0.0, 1.0], "whole numbers"),
        ([[0, 1]], "list"),
        (np.ones(3, bool), "mask"),
    ],
)
def test_invalid_selections_are_refused(geometry, views, message):
    with pytest.raises(GeometryError, match=message):
        geometry.select(views)


def test_a_slab_has_its_own_centres(geometry):
    part = geometry.rows(1, 4)
    assert part.shape == (6, 3, 9)
    assert part.detector == (3, 11)
    assert part.center.tolist() == [5.2, 5.3, 5.4]
    for start, stop in ((-1, 2), (2, 2), (3, 1), (0, 6)):
        with pytest.raises(GeometryError, match="do not lie within"):
            geometry.rows(start, stop)


def test_padding_widens_the_grid_about_the_axis_and_leaves_the_rays(geometry):
    part = geometry.padded(3)
    assert part.shape == (6, 5, 15)
    assert part.detector == geometry.detector
    assert part.center.tolist() == geometry.center.tolist()


def test_thickness_and_hand(geometry):
    assert geometry.with_thickness(2).shape == (2, 5, 9)
    assert geometry.flipped_hand().angles.tolist() == (-ANGLES).tolist()
    assert geometry.flipped_hand().flipped_hand() == geometry


@pytest.mark.parametrize("nu", [11, 12])
@pytest.mark.parametrize("factor", [2, 3])
def test_binning_keeps_the_axis_where_it_is_on_the_detector(nu, factor):
    g = Geometry(
        ANGLES, (8, 6, nu), center=np.array([5.0, 5.0, 6.0, 6.0, 7.0, 7.0]), shifts=np.full((4, 2), 1.5), voxel_size=2.0
    )
    b = g.binned(factor)
    # the axis lies `center` pixels from the left edge, which binning does not move
    expected = g.center.reshape(-1, factor).mean(1) / factor
    np.testing.assert_allclose(b.center, expected)
    assert b.detector == (6 // factor, nu // factor)
    assert b.shape == (round(8 / factor), 6 // factor, nu // factor)
    assert b.voxel_size == 2.0 * factor
    np.testing.assert_allclose(b.shifts, 1.5 / factor)
    np.testing.assert_array_equal(b.angles, g.angles)


def test_binning_edge_cases(geometry):
    assert geometry.binned(1) is geometry
    assert Geometry(ANGLES, (1, 4, 4)).binned(4).shape == (1, 1, 1)
    for factor in (0, -1, 1.5):
        with pytest.raises(GeometryError, match="whole number"):
            geometry.binned(factor)
    with pytest.raises(GeometryError, match="cannot be binned"):
        geometry.binned(6)


def test_one_slice_one_angle_one_column():
    g = Geometry([0.3], (1, 1, 1))
    assert g.range_shape == (1, 1, 1)
    assert g.center.tolist() == [0.5]
    assert "1 tilts from" in repr(g)


def test_a_round_trip_through_json_gives_the_same_geometry(geometry):
    for g in (geometry, Geometry(ANGLES, (3, 2, 9))):
        again = Geometry.from_dict(json.loads(json.dumps(g.to_dict())))
        assert again == g
        assert hash(again) == hash(g)
        assert again.digest() == g.digest()
        assert pickle.loads(pickle.dumps(g)) == g


def test_everything_counts_in_equality(geometry):
    values = geometry.to_dict()
    changes = {
        "angles": [*values["angles"][:-1], 0.6],
        "shape": (7, 5, 9),
        "detector": (5, 12),
        "center": 5.1,
        "shifts": None,
        "voxel_size": 2.4,
        "unit": "angstrom",
    }
    assert set(changes) == set(values), "a new field needs a line here"
    others = [Geometry.from_dict({**values, name: value}) for name, value in changes.items()]
    assert len({geometry, *others}) == len(others) + 1
    assert geometry != "geometry"
    assert len(geometry.digest()) == 64


def test_repr_is_one_line_in_degrees(geometry):
    text = repr(geometry)
    assert "-60" in text
    assert "35" in text
    assert "nanometer" in text
    assert "\n" not in text


@pytest.mark.parametrize("values", [{}, {"angles": [0.1]}, {"angles": [0.1], "shape": [2, 2, 2], "colour": 1}])
def test_values_that_describe_no_geometry_are_refused(values):
    with pytest.raises(GeometryError, match="not the values of a geometry"):
        Geometry.from_dict(values)
