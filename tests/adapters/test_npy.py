"""NumPy files: ours, other people's, and those that must not be believed."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tomoprior.adapters.npy import NPY
from tomoprior.errors import FormatError
from tomoprior.formats import Header, open_stack, read, writing
from tomoprior.testing.formats import check_format
from tomoprior.units import UNITS

VALUES = np.arange(60, dtype=np.float32).reshape(3, 4, 5)


NUMBERS = hnp.floating_dtypes() | hnp.integer_dtypes() | hnp.unsigned_integer_dtypes()


class Archive(NPY):
    """The same format with its other extension first."""

    extensions = (".npz", ".npy")


@pytest.mark.parametrize("fmt", [NPY(), Archive()])
def test_conformance(tmp_path: Path, fmt: NPY) -> None:
    check_format(fmt, tmp_path)


@settings(deadline=None, max_examples=60)
@given(
    values=hnp.arrays(
        hnp.floating_dtypes() | hnp.integer_dtypes() | hnp.unsigned_integer_dtypes(), hnp.array_shapes(min_dims=3, max_dims=3)
    ),
    fortran=st.booleans(),
)
def test_files_of_numpy(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, fortran: bool) -> None:
    folder = tmp_path_factory.mktemp("npy")
    values = np.asfortranarray(values) if fortran else values
    np.save(folder / "a.npy", values)
    np.savez(folder / "a.npz", values)
    np.savez_compressed(folder / "b.npz", volume=values, other=values)
    for name in ("a.npy", "a.npz", "b.npz"):
        stack = open_stack(folder / name)
        np.testing.assert_array_equal(stack.data[...], values)
        np.testing.assert_array_equal(stack.data[-1, :, 0], values[-1, :, 0])
        assert (stack.voxel_size, stack.unit, stack.warnings) == (1.0, "pixel", ())


@settings(deadline=None, max_examples=60)
@given(
    values=hnp.arrays(st.sampled_from([np.float32, np.float64, np.int16]), hnp.array_shapes(min_dims=3, max_dims=3)),
    size=st.floats(1e-9, 1e9),
    unit=st.sampled_from(UNITS),
    extension=st.sampled_from([".npy", ".npz"]),
)
def test_ours_as_numpy_reads_them(
    tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, size: float, unit: str, extension: str
) -> None:
    path = tmp_path_factory.mktemp("npy") / f"a{extension}"
    angles = np.linspace(-1, 1, len(values))
    with writing(
        path, Header(values.shape, values.dtype, size, unit, angles=angles, labels=("\u00e9",), attrs={"k": {"l": 1}})
    ) as sink:
        sink[:, :, :] = values
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.data[...], values)
    np.testing.assert_array_equal(stack.angles, angles)
    assert (stack.voxel_size, stack.unit, stack.labels, stack.attrs["k"]) == (size, unit, ("\u00e9",), {"l": 1})
    loaded = np.load(path, allow_pickle=False)
    if extension == ".npy":
        np.testing.assert_array_equal(loaded, values)
        np.testing.assert_array_equal(np.load(path, mmap_mode="r"), values)
        with path.open("rb") as file:  # the second array is a text about the first
            np.load(file)
            assert json.loads(np.load(file).tobytes())["voxel_size"] == size
    else:
        np.testing.assert_array_equal(loaded["projections"], values)
        np.testing.assert_array_equal(loaded["angles"], angles)
        assert (float(loaded["voxel_size"]), str(loaded["unit"])) == (size, unit)
        loaded.close()


def test_an_archive_that_someone_put_together(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, projections=VALUES, angles=[-1, 0, 1], voxel_size=np.float32(2.5), unit="nm", origin=[1, 2, 3])
    series = read(path)
    np.testing.assert_array_equal(series.geometry.angles, [-1, 0, 1])
    assert (series.geometry.voxel_size, series.geometry.unit) == (2.5, "nanometer")
    assert open_stack(path).origin == (1, 2, 3)
    np.savez(path, projections=VALUES, angles=[-1, 0], voxel_size="large", unit=3)
    stack = open_stack(path)
    assert stack.angles is None
    assert len(stack.warnings) == 2
    assert (stack.voxel_size, stack.unit) == (1.0, "pixel")


def test_which_array(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, a=VALUES, b=-VALUES, c=np.zeros(3))
    with pytest.raises(FormatError, match=r"there are a, b, c"):
        open_stack(path)
    np.testing.assert_array_equal(open_stack(path, dataset="b").data[...], -VALUES)
    with pytest.raises(FormatError, match="no array 'd'"):
        open_stack(path, dataset="d")
    np.save(tmp_path / "a.npy", VALUES)
    with pytest.raises(FormatError, match="without a name"):
        open_stack(tmp_path / "a.npy", dataset="a")


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        raise AssertionError("unpickled")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4)), "2 axes"),
        (np.zeros((1, 2, 3, 4)), "4 axes"),
        (np.zeros(()), "0 axes"),
        (np.zeros((0, 4, 5)), "empty"),
        (np.zeros((3, 4, 5), complex), "real numbers"),
        (np.zeros((3, 4, 5), bool), "real numbers"),
        (np.full((3, 4, 5), "a"), "real numbers"),
        (np.full((3, 4, 5), None), "real numbers"),
        (np.zeros((3, 4, 5), [("a", "f4")]), "real numbers"),
    ],
)
def test_arrays_that_are_no_stack(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", volume=array)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(FormatError, match=message):
            open_stack(tmp_path / name)


def header(shape: str, descr: str = "'<f4'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (header("(100000, 100000, 100000)") + bytes(240), "should have"),
        (header("(-3, 4, 5)") + bytes(240), "cannot be right"),
        (header("(3, 4, 5)") + bytes(239), "should have"),
        (header("(3, 4, 5"), "not a NumPy array"),
        (header("(3, 4, 5)", "'|O'") + bytes(480), "real numbers"),
        (header("(3, 4, 5)", "__import__('os').getcwd()"), "not a NumPy array"),
        (header("(3, 4, 5)").replace(b"\x01\x00", b"\x03\x00", 1), "version 3.0"),
        (b"\x93NUMPY", "not a NumPy array"),
    ],
)
def test_headers_that_lie(tmp_path: Path, raw: bytes, message: str) -> None:
    (tmp_path / "a.npy").write_bytes(raw)
    with pytest.raises(FormatError, match=message):
        open_stack(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("volume.npy", raw)
    with pytest.raises(FormatError):
        open_stack(tmp_path / "a.npz")


def test_archives_that_lie(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, volume=VALUES)
    raw = path.read_bytes()
    for size in (30, len(raw) // 2, len(raw) - 1):
        path.write_bytes(raw[:size])
        with pytest.raises(FormatError):
            open_stack(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no array")
    with pytest.raises(FormatError):
        open_stack(path)


def test_what_stands_behind_the_values(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    buffer = io.BytesIO()
    np.save(buffer, VALUES)
    for tail in (
        b"x",
        np.float64(3).tobytes(),
        header("(1000000000000,)", "'|u1'"),
        header("(2,)", "'|u1'") + b"[]",
        header("(2,)", "'|u1'") + b"xx",
    ):
        path.write_bytes(buffer.getvalue() + tail)
        stack = open_stack(path)
        np.testing.assert_array_equal(stack.data[...], VALUES)
        assert "the metadata behind the values are" in stack.warnings[0]
