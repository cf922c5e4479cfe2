"""From files to a tilt series: which angles, which errors."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tomoprior.errors import FormatError, GeometryError, InputError, TomopriorError
from tomoprior.formats import Header, open_stack, read, registry, writing

SHAPE = (3, 4, 5)
VALUES = np.linspace(0.1, 1.0, 60, dtype=np.float32).reshape(SHAPE)


@pytest.fixture
def mrc(tmp_path: Path) -> Path:
    path = tmp_path / "ts.mrc"
    with writing(path, Header(SHAPE, voxel_size=5.0, unit="angstrom")) as sink:
        sink[:, :, :] = VALUES
    return path


def test_angles_beside_the_stack(mrc: Path) -> None:
    with pytest.raises(InputError, match=r"no tilt angles.*--angles FILE"):
        read(mrc)
    mrc.with_suffix(".rawtlt").write_text("-60\n0\n60\n")
    series = read(mrc)
    np.testing.assert_allclose(series.geometry.angles, np.deg2rad([-60, 0, 60]))
    assert series.metadata["angles_from"].endswith("ts.rawtlt")
    mrc.with_suffix(".tlt").write_text("-61\n0\n61\n")
    np.testing.assert_allclose(read(mrc).geometry.angles, np.deg2rad([-61, 0, 61]))
    np.testing.assert_allclose(read(mrc, angles=mrc.with_suffix(".rawtlt")).geometry.angles, np.deg2rad([-60, 0, 60]))
    np.testing.assert_allclose(read(mrc, angles=[0, 0.1, 0.2]).geometry.angles, [0, 0.1, 0.2])


def test_geometry_given(mrc: Path) -> None:
    mrc.with_suffix(".xf").write_text("1 0 0 1 1 2\n" * 3)
    series = read(
        str(mrc), angles=[0, 0.1, 0.2], center=2.25, thickness=9, voxel_size=2, unit="nanometer", shifts=mrc.with_suffix(".xf")
    )
    geometry = series.geometry
    assert geometry.shape == (9, 4, 5)
    assert geometry.center[0] == 2.25
    assert (geometry.voxel_size, geometry.unit) == (2.0, "nanometer")
    np.testing.assert_array_equal(geometry.shifts, [[-2, -1]] * 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"angles": [0.0, 1.0]}, "3 tilts, but 2 angles"),
        ({"angles": [[0.0, 1.0, 2.0]]}, "3 tilts, but angles of shape"),
        ({"angles": ["a", "b", "c"]}, "angles must be numbers"),
        ({"angles": [0.0, 1.0, 60.0]}, "degrees"),
        ({"angles": [0, 1, 2], "shifts": [[0, 0]]}, "shifts"),
        ({"angles": [0, 1, 2], "shifts": "short.xf"}, "3 tilts, but 1 transforms"),
        ({"angles": [0, 1, 2], "no_such": 1}, "no option 'no_such'"),
        ({"angles": [0, 1, 2], "dataset": "a"}, "no option 'dataset'"),
        ({"angles": [0, 1, 2], "thickness": 0}, "at least 1"),
    ],
)
def test_what_does_not_fit(mrc: Path, options: dict, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mrc.parent)
    Path("short.xf").write_text("1 0 0 1 0 0\n")
    with pytest.raises((InputError, GeometryError), match=message):
        read(mrc, **options)


def test_radians_in_a_side_file(tmp_path: Path) -> None:
    path = tmp_path / "long.mrc"
    with writing(path, Header((41, 1, 1))) as sink:
        sink[:, :, :] = np.zeros((41, 1, 1), np.float32)
    np.savetxt(tmp_path / "long.tlt", np.linspace(-1, 1, 41))
    with pytest.raises(InputError, match="look like radians"):
        read(path)
    np.testing.assert_allclose(read(path, angle_unit="radian").geometry.angles, np.linspace(-1, 1, 41))


def test_minus_log_of_any_format(tmp_path: Path) -> None:
    values = VALUES.copy()
    values[1, 2, 3], values[2, 0, 0], values[0, 0, 0] = 0, -1, np.nan
    for extension in (".mrc", ".h5", ".tif", ".zarr", ".npy", ".npz"):
        path = tmp_path / f"t{extension}"
        with writing(path, Header(SHAPE)) as sink:
            sink[:, :, :] = values
        stack = open_stack(path, minus_log=True)
        found = stack.data[...]
        bad = ~(values > 0)
        assert np.isnan(found[bad]).all()
        np.testing.assert_allclose(found[~bad], -np.log(values[~bad]), rtol=1e-6)
        np.testing.assert_array_equal(stack.data[1:2, 2], found[1:2, 2])
        assert not stack.counts
        assert found.dtype == np.float32


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such file"):
        open_stack(tmp_path / "none.mrc")
    with pytest.raises(FormatError, match="not a file that can be read"):
        open_stack(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(FormatError, match=r"not a file that can be read \(known: .*\.mrc"):
        open_stack(tmp_path / "notes.txt")
    os.mkfifo(tmp_path / "pipe.mrc")
    with pytest.raises(FormatError, match="neither a file nor a folder"):
        open_stack(tmp_path / "pipe.mrc")
    with pytest.raises(FormatError):
        open_stack(tmp_path / "a\0b.mrc")
    (tmp_path / "loop.mrc").symlink_to(tmp_path / "loop.mrc")
    with pytest.raises(TomopriorError):
        open_stack(tmp_path / "loop.mrc")


def test_content_goes_before_the_name(mrc: Path) -> None:
    disguised = mrc.with_name("really.tif")
    mrc.rename(disguised)
    assert registry.for_reading(disguised).name == "mrc"
    assert open_stack(disguised).data.shape == SHAPE


def test_a_broken_file_is_told_by_the_format_of_its_name(tmp_path: Path) -> None:
    for name, message in (
        ("a.mrc", "not an MRC"),
        ("a.h5", "HDF5"),
        ("a.tif", "not a TIFF"),
        ("a.npy", "not a NumPy"),
        ("a.zarr", "Zarr"),
    ):
        (tmp_path / name).write_bytes(b"what is this? " * 100)
        with pytest.raises(FormatError, match=message):
            open_stack(tmp_path / name)


@pytest.mark.parametrize("extension", [".mrc", ".h5", ".tif", ".zarr", ".npy", ".npz"])
def test_threads_read_together(tmp_path: Path, extension: str) -> None:
    values = np.random.default_rng(0).random((8, 32, 16), np.float32)
    path = tmp_path / f"a{extension}"
    if extension == ".tif":
        tifffile.imwrite(path, values, compression="deflate", photometric="minisblack")
    else:
        with writing(path, Header(values.shape)) as sink:
            sink[:, :, :] = values
    data = open_stack(path).data
    with ThreadPoolExecutor(4) as pool:
        for y, part in enumerate(pool.map(lambda y: data[:, y], range(32))):
            np.testing.assert_array_equal(part, values[:, y])
