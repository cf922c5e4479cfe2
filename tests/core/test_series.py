"""A tilt series: checks of its parts, when data are read, and what selections keep."""

import numpy as np
import pytest

from tomoprior import Geometry, TiltSeries
from tomoprior.errors import InputError, TomopriorError

ANGLES = np.deg2rad([-60.0, -30.0, 0.0, 30.0, 60.0])


class Lazy:
    """Acts as an HDF5 dataset: has a shape, reads when it is indexed, and only one tilt or a slice at a time."""

    def __init__(self, array):
        self.array, self.reads = array, 0
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key):
        assert not isinstance(key, (np.ndarray, list)), "HDF5 takes rising indices only"
        self.reads += 1
        return np.asarray(self.array[key])


@pytest.fixture
def geometry():
    return Geometry(ANGLES, (4, 6, 8), center=np.linspace(3.5, 4.5, 6), shifts=np.arange(10.0).reshape(5, 2) / 10)


@pytest.fixture
def data(geometry):
    return np.random.default_rng(0).normal(size=geometry.range_shape).astype(np.float32)


@pytest.fixture
def series(geometry, data):
    return TiltSeries(data, geometry, weights=np.arange(1, 6), metadata={"source": "made up"})


def test_making_a_series_reads_nothing(geometry, data):
    lazy = Lazy(data)
    series = TiltSeries(lazy, geometry)
    assert series.with_geometry(geometry).views.tolist() == [0, 1, 2, 3, 4]
    assert lazy.reads == 0
    np.testing.assert_array_equal(series.load().projections, data)
    assert lazy.reads == 1


def test_selections_keep_the_transfer_of_their_tilts(geometry, data):
    transfer = np.arange(5.0)[:, None, None] * np.ones((5, 6, 5))
    series = TiltSeries(data, geometry, transfer=transfer)
    assert series.select([3, 1]).transfer[:, 0, 0].tolist() == [3, 1]
    assert series.select(np.array([False, True, False, False, True])).transfer[:, 0, 0].tolist() == [1, 4]
    assert series.exclude([0]).transfer[:, 0, 0].tolist() == [1, 2, 3, 4]
    assert series.angle_range(-0.6, 0.6).transfer[:, 0, 0].tolist() == [1, 2, 3]
    assert series.binned(2).transfer.shape == (5, 3, 3)
    assert TiltSeries(Lazy(data), geometry, transfer=transfer).binned(2).transfer.shape == (5, 3, 3)
    assert series.load().transfer is series.transfer
    assert series.rows(0, 6).transfer is series.transfer
    with pytest.raises(InputError, match="couples the rows"):
        series.rows(0, 2)
    with pytest.raises(InputError, match="shape"):
        TiltSeries(data, geometry, transfer=transfer[:3])


def test_nested_lists_become_an_array(geometry, data):
    assert TiltSeries(data.tolist(), geometry).projections.shape == geometry.range_shape


def test_loading_gives_contiguous_float32(geometry, data):
    swapped = np.asfortranarray(data).astype(">i2")
    loaded = TiltSeries(swapped, geometry).load().projections
    assert loaded.dtype == np.float32
    assert loaded.flags.c_contiguous
    np.testing.assert_array_equal(loaded, swapped.astype(np.float32))


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (np.s_[:-1], "4 tilts in the data and 5 angles"),
        (np.s_[:, :-1], "do not fit"),
        (np.s_[:, :, :-1], "do not fit"),
        (np.s_[0], "do not fit"),
        (np.s_[None], "do not fit"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(geometry, data, cut, message):
    with pytest.raises(InputError, match=message):
        TiltSeries(data[cut], geometry)


@pytest.mark.parametrize("dtype", [np.complex64, object, "U4", bool])
def test_what_is_no_real_number_is_refused(geometry, data, dtype):
    with pytest.raises(InputError, match="real numbers"):
        TiltSeries(data.astype(dtype), geometry)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(4), "need shape"),
        (np.ones((5, 6)), "need shape"),
        (-np.ones(5), "not negative"),
        (np.full(5, np.nan), "finite"),
        (np.full(5, np.inf), "finite"),
        (np.zeros(5), "all weights are zero"),
    ],
)
def test_invalid_weights_are_refused(geometry, data, weights, message):
    with pytest.raises(InputError, match=message):
        TiltSeries(data, geometry, weights=weights)


def test_weights_per_tilt_and_per_pixel(geometry, data):
    assert TiltSeries(data, geometry, weights=[1, 0, 1, 1, 1]).weights.dtype == np.float32
    assert TiltSeries(data, geometry, weights=np.ones(geometry.range_shape)).weights.shape == geometry.range_shape


@pytest.mark.parametrize("source", [np.asarray, Lazy])
def test_a_selection_keeps_weights_views_and_metadata(geometry, data, source):
    series = TiltSeries(source(data), geometry, weights=np.arange(1, 6))
    part = series.select([3, 0])
    np.testing.assert_array_equal(part.projections, data[[3, 0]])
    assert part.weights.tolist() == [4, 1]
    assert part.views.tolist() == [3, 0]
    assert part.geometry == geometry.select([3, 0])
    again = part.select([True, False])
    assert again.views.tolist() == [3]
    np.testing.assert_array_equal(again.projections, data[[3]])


def test_exclusion_counts_in_this_series(series, data):
    part = series.exclude([0, 4])
    assert part.views.tolist() == [1, 2, 3]
    assert part.exclude({0}).views.tolist() == [2, 3]
    np.testing.assert_array_equal(part.projections, data[1:4])
    assert series.exclude([]).views.tolist() == [0, 1, 2, 3, 4]
    for bad in (5, -1):
        with pytest.raises(InputError, match=f"tilt {bad} cannot be excluded"):
            series.exclude([bad])
    with pytest.raises(TomopriorError, match="the selection of tilts is empty"):
        series.exclude(range(5))


def test_a_range_of_angles_includes_its_ends(series):
    assert series.angle_range(np.deg2rad(-30), np.deg2rad(60)).views.tolist() == [1, 2, 3, 4]
    assert series.angle_range(np.deg2rad(-30.0005), np.deg2rad(29.9995)).views.tolist() == [1, 2, 3]
    with pytest.raises(InputError, match="between 5 and 10 degrees"):
        series.angle_range(np.deg2rad(5), np.deg2rad(10))


@pytest.mark.parametrize("per_pixel", [False, True])
def test_a_slab_takes_its_rows_everywhere(geometry, data, per_pixel):
    weights = np.abs(data) + 1 if per_pixel else np.arange(1, 6)
    part = TiltSeries(Lazy(data), geometry, weights=weights).rows(2, 5)
    np.testing.assert_array_equal(part.projections, data[:, 2:5])
    assert part.geometry == geometry.rows(2, 5)
    assert part.weights.shape == (part.projections.shape if per_pixel else (5,))


def test_binning_takes_means_tilt_by_tilt(geometry, data):
    lazy = Lazy(data)
    weights = np.abs(data)
    part = TiltSeries(lazy, geometry, weights=weights).binned(3)
    assert part.projections.shape == (5, 2, 2) == part.geometry.range_shape
    tile = np.s_[1, :3, 3:6]
    np.testing.assert_allclose(part.projections[1, 0, 1], np.average(data[tile], weights=weights[tile]), rtol=1e-4)
    plain = TiltSeries(data, geometry).binned(3)
    np.testing.assert_allclose(plain.projections[1, 0, 1], data[tile].mean(), rtol=1e-5)
    np.testing.assert_allclose(part.weights[1, 0, 1], weights[1, :3, 3:6].mean(), rtol=1e-5)
    assert lazy.reads == 5
    series = TiltSeries(data, geometry)
    assert series.binned(1) is series


def test_a_pixel_of_weight_zero_does_not_change_a_binned_one():
    data = np.ones((1, 2, 4), np.float32)
    data[0, 0, 0] = np.inf
    weights = np.ones((1, 2, 4), np.float32)
    weights[0, 0, 0] = 0
    part = TiltSeries(data, Geometry([0.0], (2, 2, 4)), weights=weights).binned(2)
    np.testing.assert_allclose(part.projections, 1)
    np.testing.assert_allclose(part.weights, [[[0.75, 1]]])


def test_metadata_are_kept(series):
    assert series.select([0]).rows(0, 2).binned(2).metadata == {"source": "made up", "binned": 2}
