"""Outputs are whole or absent: everything is written under a temporary name beside the target and renamed at the end."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import FormatError, InputError, NoSuchFileError, OutputExistsError, TomopriorError
from tomoprior.formats import registry, sidefiles
from tomoprior.formats.base import Header, Sink
from tomoprior.lazy import one_line
from tomoprior.reconstruction import Reconstruction
from tomoprior.series import TiltSeries


@contextmanager
def replacing(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary path beside ``path`` that becomes ``path`` when the block ends well, and vanishes when it does not.

    A link is followed: what it leads to is replaced, not the link.

    Raises
    ------
    OutputExistsError
        If ``path`` exists and ``overwrite`` is not set; before any work and once more at the end.
    FormatError
        If its folder does not exist or cannot be written.
    """
    if os.path.islink(path):
        path = Path(os.path.realpath(path))
    check_target(path, overwrite=overwrite)
    # the suffix stays at the end: some libraries choose what to write by it
    mark = uuid.uuid4().hex[:8]
    temporary = path.with_name(f".{path.name}.{mark}.part{path.suffix}")
    try:
        yield temporary
        if not overwrite and path.exists():
            raise OutputExistsError(f"{path} appeared while it was being written; nothing was replaced")
        if path.exists() and (temporary.is_dir() or path.is_dir()):
            # a folder cannot be replaced in one step: the old one stands aside until the new one is in its place
            aside = path.with_name(f".{path.name}.{mark}.old")
            os.replace(path, aside)
            try:
                os.replace(temporary, path)
            except BaseException:
                os.replace(aside, path)
                raise
            remove(aside)
        else:
            os.replace(temporary, path)
    finally:
        remove(temporary)


def check_target(path: Path, *, overwrite: bool = False) -> None:
    """Raise early if ``path`` cannot become an output.

    Raises
    ------
    OutputExistsError
        If it exists and ``overwrite`` is not set.
    FormatError
        If its folder does not exist or cannot be written, or it is a device or a pipe.
    """
    if "\0" in str(path):
        raise FormatError(f"{str(path)!r}: a path cannot have a NUL character in it")
    try:
        if path.exists() and not overwrite:
            raise OutputExistsError(f"{path} exists; use overwrite (--overwrite) to replace it")
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise FormatError(f"{path}: neither a file nor a folder, and will not be replaced")
        folder = path.parent
        if not folder.is_dir():
            raise NoSuchFileError(f"{folder}: no such folder")
    except TomopriorError:
        raise
    except OSError as error:  # no permission to look, or a name that is too long
        raise FormatError(f"{path}: cannot be written ({one_line(error)})") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FormatError(f"{folder}: may not be written")


@contextmanager
def writing(path: str | Path, header: Header, *, overwrite: bool = False) -> Iterator[Sink]:
    """A sink for an array of ``header.shape``; the file appears at ``path`` when the block ends without an error.

    Use it slab by slab: ``sink[0:nz, y0:y1, :] = slab``. With ``header.angles`` the array is a tilt series; a format that
    cannot hold angles gets them beside it as ``NAME.tlt``, which appears together with the file.

    Raises
    ------
    FormatError
        If the name has no known extension, the file cannot be written (the disk is full, say), or a part of it was not.
    InputError
        For regions, values or angles that do not fit the header.
    OutputExistsError
        If ``path`` exists and ``overwrite`` is not set.
    """
    path = Path(path)
    target = registry.for_writing(path)
    _check_header(header)
    check_target(path, overwrite=overwrite)
    if path.is_dir() and overwrite and any(path.iterdir()) and not (target.is_folder and target.matches(path)):
        raise FormatError(f"{path}: a folder that is no {target.name} output, and will not be replaced")
    with ExitStack() as outputs:
        if header.angles is not None and not getattr(target, "holds_angles", False):
            side = outputs.enter_context(replacing(path.with_suffix(".tlt"), overwrite=overwrite))
            _guarded(path, sidefiles.write_angles, side, header.angles)
        temporary = outputs.enter_context(replacing(path, overwrite=overwrite))
        sink = _NamedSink(path, _guarded(path, target.create, temporary, header))
        try:
            yield sink
        except BaseException:
            with suppress(Exception):  # the first error is the one to tell, and the file goes anyway
                sink.close()
            raise
        sink.close()
        missing = getattr(sink.sink, "missing", 0)
        if missing:
            raise FormatError(f"{path}: not written, because {missing} rows of {header.shape} never came")


def write(result: Reconstruction, path: str | Path, *, overwrite: bool = False, labels: tuple[str, ...] = ()) -> None:
    """Write a reconstruction's volume, with its voxel size and unit, to the format that ``path`` names.

    Its record (provenance and history) goes beside it as ``NAME.EXT.json``, and the standard deviation and the share of each
    frequency that is determined, where there are such, as ``NAME_std.EXT`` and ``NAME_determined.EXT``. A
    volume without a record removes the one that an overwritten volume left.

    Raises
    ------
    FormatError, OutputExistsError
        As ``writing``; none of the files is there then.
    """
    result = result.numpy()
    path = Path(path)
    # frequencies have no voxel size
    arrays = {path: (result.volume, result.voxel_size, result.unit)}
    if result.std is not None:
        arrays[path.with_name(f"{path.stem}_std{path.suffix}")] = (result.std, result.voxel_size, result.unit)
    if result.determined is not None:
        arrays[path.with_name(f"{path.stem}_determined{path.suffix}")] = (result.determined, 1.0, "pixel")
    record_path = path.with_name(path.name + ".json")
    record = {"output": path.name, **result.provenance, "history": dict(result.history)} if result.provenance else None
    with ExitStack() as outputs:
        if record is not None:
            temporary = outputs.enter_context(replacing(record_path, overwrite=overwrite))
            _guarded(record_path, temporary.write_text, json.dumps(record, indent=1) + "\n")
        for target, (values, size, unit) in arrays.items():
            header = Header(shape=values.shape, dtype=np.float32, voxel_size=size, unit=unit, labels=labels)
            sink = outputs.enter_context(writing(target, header, overwrite=overwrite))
            sink[:, :, :] = values
    if record is None and overwrite:
        record_path.unlink(missing_ok=True)


def write_series(series: TiltSeries, path: str | Path, *, overwrite: bool = False, labels: tuple[str, ...] = ()) -> None:
    """Write a tilt series, tilt by tilt, with its angles (in the file, or as ``NAME.tlt`` beside it) and pixel size.

    Centre, shifts and weights are not written: no file format of the field has a place for them.

    Raises
    ------
    FormatError, OutputExistsError
        As ``writing``.
    """
    geometry = series.geometry
    dtype = np.dtype(series.projections.dtype).newbyteorder("=")
    header = Header(
        shape=geometry.range_shape,
        dtype=np.float32 if dtype.kind == "f" else dtype,
        voxel_size=geometry.voxel_size,
        unit=geometry.unit,
        angles=geometry.angles,
        labels=labels,
    )
    with writing(path, header, overwrite=overwrite) as sink:
        for i in range(geometry.n_angles):
            sink[i : i + 1, 0 : header.shape[1], 0 : header.shape[2]] = np.asarray(series.projections[i])[None]


def _check_header(header: Header) -> None:
    if len(header.shape) != 3 or min(header.shape) < 1:
        raise InputError(f"an output needs three axes of at least one voxel, got {tuple(header.shape)}")
    if np.dtype(header.dtype).kind not in "fiu":
        raise InputError(f"an output must be real numbers, not {np.dtype(header.dtype)}")
    if header.angles is not None and np.shape(header.angles) != (header.shape[0],):
        raise InputError(f"{header.shape[0]} tilts need as many angles, got shape {np.shape(header.angles)}")


class _NamedSink:
    """A sink whose errors name the output rather than its temporary stand-in."""

    def __init__(self, path: Path, sink: Sink) -> None:
        self.path, self.sink = path, sink

    def __setitem__(self, region: tuple[slice, slice, slice], values: NDArray[Any]) -> None:
        _guarded(self.path, self.sink.__setitem__, region, values)

    def close(self) -> None:
        _guarded(self.path, self.sink.close)


def _guarded(path: Path, call: Any, *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except TomopriorError:
        raise
    except OSError as error:
        raise FormatError(f"{path}: cannot be written ({one_line(error)})") from error


def remove(path: Path) -> None:
    """A file, or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


__all__ = ["check_target", "replacing", "write", "write_series", "writing"]
