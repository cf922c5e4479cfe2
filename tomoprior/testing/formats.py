"""Checks of file formats: round trips, streaming, lazy reading, refusals, and outputs that are whole or absent."""

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
from tomoprior.units import UNITS

_ODD_SHAPES = ((3, 5, 7), (1, 4, 6), (5, 1, 4), (2, 3, 1), (1, 1, 1))


def check_format(fmt: Format, tmp_path: Path) -> None:
    """Everything that ``tomoprior.formats.Format`` promises, tried with small files.

    Parameters
    ----------
    fmt
        An instance of the format.
    tmp_path
        An existing, empty folder to write into.

    Raises
    ------
    AssertionError
        With what is wrong, in one line.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a reader that warns prints into other people's programs
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
    """Values that no mix-up of axes leaves as they were: random float32 of any sign."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def write_whole(fmt: Format, path: Path, values: NDArray[Any], header: Header | None = None) -> None:
    """Write an array in one region."""
    sink = fmt.create(path, Header(_sizes(values), values.dtype) if header is None else header)
    nz, ny, nx = _sizes(values)
    sink[0:nz, 0:ny, 0:nx] = values
    sink.close()


def _check_class(fmt: Format) -> None:
    assert isinstance(fmt.name, str), "a format needs a name"
    assert fmt.name, "a format needs a name"
    assert isinstance(fmt.extensions, tuple), "extensions must be a tuple, for str.endswith"
    assert fmt.extensions, "a format needs at least one extension"
    for extension in fmt.extensions:
        assert extension.startswith("."), f"the extension {extension!r} must start with a dot"
        assert extension == extension.lower(), f"the extension {extension!r} must be in lower case"
    for flag in ("is_folder", "holds_angles"):
        assert isinstance(getattr(fmt, flag, None), bool), f"{flag} must be True or False"


def _check_round_trip(fmt: Format, path: Path, shape: tuple[int, int, int]) -> None:
    values = values_for(shape)
    write_whole(fmt, path, values)
    assert path.is_dir() == fmt.is_folder, f"is_folder is {fmt.is_folder}, and the output of {shape} is not so"
    assert fmt.matches(path), f"a file of shape {shape} that the format wrote is not recognised"
    stack = fmt.read(path)
    _check_same(stack, values, f"shape {shape}")
    assert not stack.warnings, f"reading its own file warns: {stack.warnings}"


def _check_voxel(fmt: Format, path: Path, unit: str) -> None:
    values, size = values_for((2, 3, 4)), 1.7994916
    angles = np.deg2rad([-60.0, 3.25])
    origin = (1.5, -2.25, 1e3)
    header = Header(values.shape, np.float32, size, unit, origin, angles=angles, labels=("a line of text",))
    write_whole(fmt, path, values, header)
    stack = fmt.read(path)
    assert stack.unit == unit, f"the unit {unit} came back as {stack.unit}"
    assert abs(stack.voxel_size - size) <= 1e-6 * size, f"a voxel size of {size} {unit} came back as {stack.voxel_size}"
    assert np.allclose(stack.origin, origin, rtol=1e-6), f"the origin {origin} came back as {stack.origin}"
    assert not stack.counts, "what was written as it is came back as counts"
    if fmt.holds_angles:
        assert stack.angles is not None, "holds_angles is True, and the angles did not come back"
        assert np.allclose(stack.angles, angles, atol=1e-9), f"the angles {angles} came back as {stack.angles}"


def _check_regions(fmt: Format, tmp_path: Path) -> None:
    values = values_for((4, 9, 5), seed=1)
    extension = fmt.extensions[0]
    for name, cuts in {
        "slabs": [(0, 4, 0, 2), (0, 4, 2, 7), (0, 4, 7, 9)],
        "backwards": [(0, 4, 7, 9), (0, 4, 0, 7)],
        "tilts": [(i, i + 1, 0, 9) for i in range(4)],
        "pieces": [(2, 4, 3, 9), (0, 2, 0, 3), (2, 4, 0, 3), (0, 2, 3, 9)],
    }.items():
        path = tmp_path / f"{name}{extension}"
        sink = fmt.create(path, Header((4, 9, 5), np.float32))
        for z0, z1, y0, y1 in cuts:
            part = values[z0:z1, y0:y1]
            # whatever the memory looks like: a part of a larger array, of another float type, read-only
            part = part.astype(np.float64) if name == "backwards" else part
            part.flags.writeable = False
            sink[z0:z1, y0:y1, 0:5] = part
        sink.close()
        _check_same(fmt.read(path), values, f"written as {name}")


def _check_indexing(fmt: Format, path: Path) -> None:
    values = values_for((6, 7, 8), seed=2)
    write_whole(fmt, path, values)
    data = fmt.read(path).data
    assert len(data.shape) == 3, "data need three axes"
    for key in (
        np.s_[...], np.s_[2], np.s_[-1, 3], np.s_[1, 2, 3], np.s_[1:4, :, 2], np.s_[:, 2:5], np.s_[::2, 1::3, ::-1], np.s_[3:3],
    ):  # fmt: skip
        found = np.asarray(data[key])
        assert found.dtype.isnative, "values must come in native byte order"
        assert np.array_equal(found, values[key]), f"data[{key}] is not what NumPy gives"
    copy = pickle.loads(pickle.dumps(data))  # as a cluster does
    assert np.array_equal(np.asarray(copy[1:3]), values[1:3]), "data that were pickled read differently"


def _check_sink(fmt: Format, tmp_path: Path) -> None:
    path = tmp_path / f"sink{fmt.extensions[0]}"
    sink = fmt.create(path, Header((2, 3, 4), np.float32))
    ones = np.ones((2, 3, 4), np.float32)
    for region, part, what in (
        (np.s_[0:2, 0:3, 0:4], ones[:1], "values of another shape"),
        (np.s_[0:2, 0:9, 0:4], np.ones((2, 9, 4), np.float32), "a region outside"),
        (np.s_[0:2:2, 0:3, 0:4], ones[:1], "a region with steps"),
        (np.s_[0:2, 0:3, 0:4], ones.astype(np.complex64), "complex values"),
    ):
        try:
            sink[region] = part
        except InputError:
            continue
        raise AssertionError(f"the sink takes {what}")
    sink[0:2, 0:3, 0:4] = ones
    sink.close()
    sink.close()  # a second time does no harm
    _check_same(fmt.read(path), ones, "after refusals")


def _check_shared(fmt: Any, tmp_path: Path) -> None:
    """An output begun, written by others, one region twice, and completed twice, is what one sink would have written."""
    values = values_for((5, 20, 6), seed=3)
    header = Header(_sizes(values), np.float32, 2.5, "nanometer", slab=8)
    paths = [tmp_path / folder / f"shared{fmt.extensions[0]}" for folder in ("one", "many")]
    for path in paths:
        path.parent.mkdir()
    write_whole(fmt, paths[0], values, header)
    fmt.create(paths[1], header).close()
    try:
        fmt.reopen(paths[1], header).close()
    except FormatError:  # one of its kinds of file (a .npz) may have to be written in one piece
        return
    for y0, y1, part in ((8, 16, values * 2), (16, 20, values), (0, 8, values), (8, 16, values)):
        sink = fmt.reopen(paths[1], header)
        sink[0:5, y0:y1, 0:6] = part[:, y0:y1]
        sink.close()
    for _ in range(2):
        fmt.complete(paths[1], header)
        _check_same(fmt.read(paths[1]), values, "written by several")
        assert _content(paths[0]) == _content(paths[1]), "an output written by several is not that of one sink, byte for byte"


def _content(path: Path) -> dict[str, bytes]:
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    return {str(p.relative_to(path)): p.read_bytes() for p in files}


def _check_broken(fmt: Format, tmp_path: Path) -> None:
    """Files that are cut short, empty or something else: one line, or what is still right, and never another exception."""
    whole = tmp_path / f"whole{fmt.extensions[0]}"
    write_whole(fmt, whole, values_for((3, 40, 50)))
    try:
        fmt.read(whole, no_such_option=1)
    except TomopriorError:
        pass
    else:
        raise AssertionError("an unknown option is taken without a word")
    broken = tmp_path / f"broken{fmt.extensions[0]}"
    if fmt.is_folder:
        broken.mkdir()
        _check_refuses(fmt, broken, "an empty folder")
        return
    raw = whole.read_bytes()
    for content, what in ((b"", "an empty file"), (b"\x00" * 2000, "zeros"), (b"no such thing " * 200, "a text")):
        broken.write_bytes(content)
        assert not fmt.matches(broken), f"{what} is taken for this format"
        _check_refuses(fmt, broken, what)
    for size in sorted({1, 4, 100, 512, 1000, len(raw) // 2}):
        broken.write_bytes(raw[:size])
        _check_refuses(fmt, broken, f"a file cut after {size} bytes")
    folder = tmp_path / f"folder{fmt.extensions[0]}"
    os.mkdir(folder)
    _check_refuses(fmt, folder, "a folder")


def _check_refuses(fmt: Format, path: Path, what: str) -> None:
    message = None
    try:
        np.asarray(fmt.read(path).data[-1, -1, -1])
    except FormatError as error:
        message = str(error)
    except Exception as error:
        raise AssertionError(f"{what} raises {type(error).__name__} and not FormatError: {error}") from error
    assert message is not None, f"{what} is read as if it were whole"
    assert path.name in message, f"the message about {what} does not name the file: {message}"
    assert "\n" not in message, f"the message about {what} has more than one line"


def _check_same(stack: Stack, values: NDArray[Any], what: str) -> None:
    assert tuple(stack.data.shape) == values.shape, f"{what}: {values.shape} came back as {tuple(stack.data.shape)}"
    found = np.asarray(stack.data[...])
    assert np.array_equal(found, values), f"{what}: the values changed"


def _sizes(values: NDArray[Any]) -> tuple[int, int, int]:
    return values.shape[0], values.shape[1], values.shape[2]
