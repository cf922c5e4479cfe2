"""Checks of file formats: round trips, streaming, lazy reading, refusals, and damaged files."""

from __future__ import annotations

import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import FormatError, InputError, TomopriorError
from tomoprior.formats import Format, Header, Shared, Stack
from tomoprior.testing._assertions import require
from tomoprior.units import UNITS

_ODD_SHAPES = ((3, 5, 7), (1, 4, 6), (5, 1, 4), (2, 3, 1), (1, 1, 1))


def check_format(fmt: Format, tmp_path: Path) -> None:
    """Check the properties that ``tomoprior.formats.Format`` requires, with small files.

    Parameters
    ----------
    fmt
        An instance of the format.
    tmp_path
        An existing, empty folder for the files.

    Raises
    ------
    AssertionError
        With the fault, in one line.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a reader must not print warnings in programs of other people
        _check_class(fmt)
        for i, shape in enumerate(_ODD_SHAPES):
            _check_round_trip(fmt, tmp_path / f"shape{i}{fmt.extensions[0]}", shape)
        for unit in UNITS:
            _check_voxel(fmt, tmp_path / f"unit_{unit}{fmt.extensions[0]}", unit)
        _check_regions(fmt, tmp_path)
        _check_indexing(fmt, tmp_path / f"index{fmt.extensions[0]}")
        _check_sink(fmt, tmp_path)
        if isinstance(fmt, Shared):
            _check_shared(fmt, tmp_path)
        _check_broken(fmt, tmp_path)


def values_for(shape: tuple[int, int, int], seed: int = 0) -> NDArray[np.float32]:
    """Return random float32 values of any sign, which every exchange of axes changes."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def write_whole(fmt: Format, path: Path, values: NDArray[Any], header: Header | None = None) -> None:
    """Write an array in one region."""
    sink = fmt.create(path, Header(_sizes(values), values.dtype) if header is None else header)
    nz, ny, nx = _sizes(values)
    sink[0:nz, 0:ny, 0:nx] = values
    sink.close()


def _check_class(fmt: Format) -> None:
    require(isinstance(fmt.name, str) and bool(fmt.name), "a format needs a name")
    require(isinstance(fmt.extensions, tuple), "extensions must be a tuple, for str.endswith")
    require(bool(fmt.extensions), "a format needs at least one extension")
    for extension in fmt.extensions:
        require(extension.startswith("."), f"the extension {extension!r} must start with a dot")
        require(extension == extension.lower(), f"the extension {extension!r} must be in lower case")
    for flag in ("is_folder", "holds_angles"):
        require(isinstance(getattr(fmt, flag, None), bool), f"{flag} must be True or False")


def _check_round_trip(fmt: Format, path: Path, shape: tuple[int, int, int]) -> None:
    values = values_for(shape)
    write_whole(fmt, path, values)
    require(path.is_dir() == fmt.is_folder, f"is_folder is {fmt.is_folder}, but the output of {shape} is not")
    require(fmt.matches(path), f"a file of shape {shape} that the format wrote is not recognised")
    stack = fmt.read(path)
    _check_same(stack, values, f"shape {shape}")
    require(not stack.warnings, f"reading its own file warns: {stack.warnings}")


def _check_voxel(fmt: Format, path: Path, unit: str) -> None:
    values, size = values_for((2, 3, 4)), 1.7994916
    angles = np.deg2rad([-60.0, 3.25])
    origin = (1.5, -2.25, 1e3)
    header = Header(values.shape, np.float32, size, unit, origin, angles=angles, labels=("a line of text",))
    write_whole(fmt, path, values, header)
    stack = fmt.read(path)
    require(stack.unit == unit, f"the unit {unit} came back as {stack.unit}")
    require(abs(stack.voxel_size - size) <= 1e-6 * size, f"a voxel size of {size} {unit} came back as {stack.voxel_size}")
    require(np.allclose(stack.origin, origin, rtol=1e-6), f"the origin {origin} came back as {stack.origin}")
    require(not stack.counts, "values that are not counts came back as counts")
    if fmt.holds_angles:
        require(stack.angles is not None, "holds_angles is True, and the angles did not come back")
        require(np.allclose(np.asarray(stack.angles), angles, atol=1e-9), f"the angles {angles} came back as {stack.angles}")


def _check_regions(fmt: Format, tmp_path: Path) -> None:
    values = values_for((4, 9, 5), seed=1)
    extension = fmt.extensions[0]
    for name, regions in {
        "slabs": [(0, 4, 0, 2), (0, 4, 2, 7), (0, 4, 7, 9)],
        "backwards": [(0, 4, 7, 9), (0, 4, 0, 7)],
        "tilts": [(i, i + 1, 0, 9) for i in range(4)],
        "pieces": [(2, 4, 3, 9), (0, 2, 0, 3), (2, 4, 0, 3), (0, 2, 3, 9)],
    }.items():
        path = tmp_path / f"{name}{extension}"
        sink = fmt.create(path, Header((4, 9, 5), np.float32))
        for z0, z1, y0, y1 in regions:
            part = values[z0:z1, y0:y1]
            # with any memory layout: a part of a larger array, of another float type, read-only
            part = part.astype(np.float64) if name == "backwards" else part
            part.flags.writeable = False
            sink[z0:z1, y0:y1, 0:5] = part
        sink.close()
        _check_same(fmt.read(path), values, f"written as {name}")


def _check_indexing(fmt: Format, path: Path) -> None:
    values = values_for((6, 7, 8), seed=2)
    write_whole(fmt, path, values)
    data = fmt.read(path).data
    require(len(data.shape) == 3, "data need three axes")
    for key in (
        np.s_[...], np.s_[2], np.s_[-1, 3], np.s_[1, 2, 3], np.s_[1:4, :, 2], np.s_[:, 2:5], np.s_[::2, 1::3, ::-1], np.s_[3:3],
    ):  # fmt: skip
        part = np.asarray(data[key])
        require(bool(part.dtype.isnative), "values must come in native byte order")
        require(np.array_equal(part, values[key]), f"data[{key}] is not what NumPy gives")
    copy = pickle.loads(pickle.dumps(data))  # as on a cluster
    require(np.array_equal(np.asarray(copy[1:3]), values[1:3]), "pickled data have other values")


def _check_sink(fmt: Format, tmp_path: Path) -> None:
    path = tmp_path / f"sink{fmt.extensions[0]}"
    sink = fmt.create(path, Header((2, 3, 4), np.float32))
    ones = np.ones((2, 3, 4), np.float32)
    for region, part, fault in (
        (np.s_[0:2, 0:3, 0:4], ones[:1], "values of another shape"),
        (np.s_[0:2, 0:9, 0:4], np.ones((2, 9, 4), np.float32), "a region outside"),
        (np.s_[0:2:2, 0:3, 0:4], ones[:1], "a region with steps"),
        (np.s_[0:2, 0:3, 0:4], ones.astype(np.complex64), "complex values"),
    ):
        try:
            sink[region] = part
        except InputError:
            continue
        raise AssertionError(f"the sink accepts {fault}")
    sink[0:2, 0:3, 0:4] = ones
    sink.close()
    sink.close()  # a second call must do nothing
    _check_same(fmt.read(path), ones, "after refusals")


def _check_shared(fmt: Any, tmp_path: Path) -> None:
    """Check that several sinks, one region twice, and completion twice give the same bytes as one sink."""
    values = values_for((5, 20, 6), seed=3)
    header = Header(_sizes(values), np.float32, 2.5, "nanometer", slab=8)
    paths = [tmp_path / folder / f"shared{fmt.extensions[0]}" for folder in ("one", "many")]
    for path in paths:
        path.parent.mkdir()
    write_whole(fmt, paths[0], values, header)
    fmt.create(paths[1], header).close()
    try:
        fmt.reopen(paths[1], header).close()
    except FormatError:  # one kind of file (.npz) can only be written in one piece
        return
    for y0, y1, part in ((8, 16, values * 2), (16, 20, values), (0, 8, values), (8, 16, values)):
        sink = fmt.reopen(paths[1], header)
        sink[0:5, y0:y1, 0:6] = part[:, y0:y1]
        sink.close()
    for _ in range(2):
        fmt.complete(paths[1], header)
        _check_same(fmt.read(paths[1]), values, "written by several")
        require(_content(paths[0]) == _content(paths[1]), "several sinks give other bytes than one sink")


def _content(path: Path) -> dict[str, bytes]:
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    return {str(p.relative_to(path)): p.read_bytes() for p in files}


def _check_broken(fmt: Format, tmp_path: Path) -> None:
    """Check that truncated, empty and foreign files raise FormatError of one line."""
    whole = tmp_path / f"whole{fmt.extensions[0]}"
    write_whole(fmt, whole, values_for((3, 40, 50)))
    try:
        fmt.read(whole, no_such_option=1)
    except TomopriorError:
        pass
    else:
        raise AssertionError("an unknown option is accepted")
    broken = tmp_path / f"broken{fmt.extensions[0]}"
    if fmt.is_folder:
        broken.mkdir()
        _check_refuses(fmt, broken, "an empty folder")
        return
    raw = whole.read_bytes()
    for content, description in ((b"", "an empty file"), (b"\x00" * 2000, "zeros"), (b"no such thing " * 200, "a text")):
        broken.write_bytes(content)
        require(not fmt.matches(broken), f"{description} is taken for this format")
        _check_refuses(fmt, broken, description)
    for size in sorted({1, 4, 100, 512, 1000, len(raw) // 2}):
        broken.write_bytes(raw[:size])
        _check_refuses(fmt, broken, f"a file cut after {size} bytes")
    folder = tmp_path / f"folder{fmt.extensions[0]}"
    os.mkdir(folder)
    _check_refuses(fmt, folder, "a folder")


def _check_refuses(fmt: Format, path: Path, description: str) -> None:
    message = ""
    try:
        np.asarray(fmt.read(path).data[-1, -1, -1])
    except FormatError as error:
        message = str(error)
    except Exception as error:
        raise AssertionError(f"{description} raises {type(error).__name__} and not FormatError: {error}") from error
    require(bool(message), f"{description} is read as if it were complete")
    require(path.name in message, f"the message about {description} does not name the file: {message}")
    require("\n" not in message, f"the message about {description} has more than one line")


def _check_same(stack: Stack, values: NDArray[Any], description: str) -> None:
    require(tuple(stack.data.shape) == values.shape, f"{description}: {values.shape} came back as {tuple(stack.data.shape)}")
    read_values = np.asarray(stack.data[...])
    require(np.array_equal(read_values, values), f"{description}: the values changed")


def _sizes(values: NDArray[Any]) -> tuple[int, int, int]:
    return values.shape[0], values.shape[1], values.shape[2]
