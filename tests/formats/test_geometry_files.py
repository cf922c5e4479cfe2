"""Geometry files beside a series: a fan from our own JSON and from ASTRA's dictionary, and what is refused."""

import json
import math

import numpy as np
import pytest

import tomoprior
from tomoprior import FanGeometry, Geometry, TiltSeries
from tomoprior.errors import FormatError, GeometryError, InputError, OutputExistsError
from tomoprior.formats.geometry_files import read_geometry

ANGLES = np.deg2rad([-10.0, 0.0, 25.0])
ASTRA = {
    "type": "fanflat", "DetectorWidth": 1.5, "DetectorCount": 10, "ProjectionAngles": ANGLES.tolist(),
    "DistanceOriginSource": 60, "DistanceOriginDetector": 30,
}  # fmt: skip


@pytest.fixture
def fan():
    geometry = FanGeometry(
        ANGLES, (12, 2, 8), (2, 10), 4.75, voxel_size=0.2, unit="millimeter", source_distance=60, detector_distance=30
    )
    return TiltSeries(np.arange(60, dtype=np.float32).reshape(3, 2, 10), geometry)


def save(tmp_path, geometry):
    np.save(tmp_path / "series.npy", np.ones((3, 2, 10), np.float32))
    text = geometry if isinstance(geometry, str) else json.dumps(geometry)
    (tmp_path / "series.geometry.json").write_text(text)
    return tmp_path / "series.npy"


@pytest.mark.parametrize("name", ["series.npy", "series.mrc", "series.h5"])
def test_a_fan_series_comes_back_as_it_was(tmp_path, fan, name):
    tomoprior.write_series(fan, tmp_path / name)
    back = tomoprior.read(tmp_path / name)
    assert back.geometry == fan.geometry
    np.testing.assert_array_equal(back.projections[...], fan.projections)
    assert back.metadata["angles_from"] == str(tmp_path / "series.geometry.json")


def test_a_dictionary_of_astra_is_a_fan_on_the_grid_of_the_detector(tmp_path):
    geometry = tomoprior.read(save(tmp_path, ASTRA)).geometry
    assert geometry == FanGeometry(ANGLES, (10, 2, 10), (2, 10), source_distance=60, detector_distance=30, pixel_size=1.5)
    other = tomoprior.read(save(tmp_path, ASTRA | {"VoxelSize": 0.2, "Unit": "millimeter"})).geometry
    assert (other.voxel_size, other.unit, other.source_distance) == (0.2, "millimeter", 60)


def test_a_parallel_dictionary_of_astra_is_a_parallel_beam(tmp_path):
    values = {"type": "parallel", "DetectorWidth": 1.0, "DetectorCount": 10, "ProjectionAngles": ANGLES.tolist()}
    assert tomoprior.read(save(tmp_path, values)).geometry == Geometry(ANGLES, (10, 2, 10))


def test_grid_and_voxel_size_can_be_others(tmp_path, fan):
    tomoprior.write_series(fan, tmp_path / "series.npy")
    other = tomoprior.read(tmp_path / "series.npy", thickness=20, width=16, voxel_size=0.4).geometry
    assert other.shape == (20, 2, 16)
    assert (other.voxel_size, other.unit) == (0.4, "millimeter")
    np.testing.assert_array_equal(other.center, fan.geometry.center)


def test_what_the_file_states_is_not_stated_twice(tmp_path):
    path = save(tmp_path, ASTRA)
    for values in ({"angles": "-10:25:17.5"}, {"center": 5}, {"shifts": np.zeros((3, 2))}, {"angle_unit": "degree"}):
        with pytest.raises(InputError, match=rf"series.geometry.json states .* leave {next(iter(values))} out"):
            tomoprior.read(path, **values)


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        ("{", "not a geometry in JSON"),
        ("[1]", "names and values"),
        ({"angles": [0]}, "not the geometry of a series"),
        ({k: v for k, v in ASTRA.items() if k != "DistanceOriginSource"}, "'DistanceOriginSource' is missing"),
        (ASTRA | {"type": "cone"}, "type 'cone'; parallel and fanflat are read, use tomoprior.AstraOperator"),
        (ASTRA | {"DetectorCount": float("inf")}, "not the geometry of a series"),
        (ASTRA | {"DetectorCount": 12}, "DetectorCount 12, but the projections have 10 columns"),
        (ASTRA | {"DetectorCount": math.inf}, "not the geometry of a series"),
        (ASTRA | {"DistanceOriginSource": 3}, "not the geometry of a series"),
        (ASTRA | {"DistanceOriginSource": "far"}, "not the geometry of a series"),
        (ASTRA | {"type": "parallel"}, "DetectorWidth of parallel rays must be 1"),
        (Geometry(ANGLES, (4, 3, 10)).to_dict(), r"a detector of \(3, 10\) pixels, but the projections have \(2, 10\)"),
    ],
)
def test_a_wrong_geometry_file_is_one_line(tmp_path, geometry, message):
    with pytest.raises((FormatError, GeometryError), match=message) as caught:
        tomoprior.read(save(tmp_path, geometry))
    assert "\n" not in str(caught.value)
    assert "series.geometry.json" in str(caught.value)


def test_other_numbers_of_angles_and_missing_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"has 1 angles, but series\.npy has 3 projections"):
        tomoprior.read(save(tmp_path, ASTRA | {"ProjectionAngles": [0.0]}))
    with pytest.raises(FormatError, match="no such file"):
        read_geometry(tmp_path / "missing.geometry.json", (2, 10))


def test_a_parallel_series_does_not_keep_the_fan_of_the_one_it_replaces(tmp_path, fan):
    path = tmp_path / "series.npy"
    tomoprior.write_series(fan, path)
    parallel = TiltSeries(fan.projections, Geometry(ANGLES, (10, 2, 10)))
    with pytest.raises(OutputExistsError):
        tomoprior.write_series(parallel, path)
    tomoprior.write_series(parallel, path, overwrite=True)
    assert type(tomoprior.read(path).geometry) is Geometry
