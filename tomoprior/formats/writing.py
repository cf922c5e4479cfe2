"""Volumes and tilt series to files, whole or not at all, with what belongs beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import FormatError, InputError
from tomoprior.formats import registry, sidefiles
from tomoprior.formats.base import Header, Sink
from tomoprior.geometry import FanGeometry
from tomoprior.reconstruction import Reconstruction
from tomoprior.series import TiltSeries
from tomoprior.storage.files import check_target, companion_path, record_path, replace_atomically, reraise_disk_errors


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
            side = outputs.enter_context(replace_atomically(path.with_suffix(".tlt"), overwrite=overwrite))
            with reraise_disk_errors(path):
                sidefiles.write_angles(side, header.angles)
        temporary = outputs.enter_context(replace_atomically(path, overwrite=overwrite))
        with reraise_disk_errors(path):
            sink = _NamedSink(path, target.create(temporary, header))
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
        arrays[companion_path(path, "std")] = (result.std, result.voxel_size, result.unit)
    if result.determined is not None:
        arrays[companion_path(path, "determined")] = (result.determined, 1.0, "pixel")
    record_file = record_path(path)
    record = {"output": path.name, **result.provenance, "history": dict(result.history)} if result.provenance else None
    with ExitStack() as outputs:
        if record is not None:
            temporary = outputs.enter_context(replace_atomically(record_file, overwrite=overwrite))
            with reraise_disk_errors(record_file):
                temporary.write_text(json.dumps(record, indent=1) + "\n")
        for target, (values, size, unit) in arrays.items():
            header = Header(shape=values.shape, dtype=np.float32, voxel_size=size, unit=unit, labels=labels)
            sink = outputs.enter_context(writing(target, header, overwrite=overwrite))
            sink[:, :, :] = values
    if record is None and overwrite:
        record_file.unlink(missing_ok=True)


def write_series(series: TiltSeries, path: str | Path, *, overwrite: bool = False, labels: tuple[str, ...] = ()) -> None:
    """Write a tilt series, tilt by tilt, with its angles (in the file, or as ``NAME.tlt`` beside it) and pixel size.

    Centre, shifts and weights are not written: no file format of the field has a place for them.

    Raises
    ------
    InputError
        For a fan beam, which would come back as a parallel one.
    FormatError, OutputExistsError
        As ``writing``.
    """
    geometry = series.geometry
    if isinstance(geometry, FanGeometry):
        raise InputError(
            "files of tilt series have no place for a fan beam: save the projections with numpy.save and geometry.to_dict() "
            "as JSON, or turn the series into parallel rays with tomoprior.rebin_fan"
        )
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
        with reraise_disk_errors(self.path):
            self.sink[region] = values

    def close(self) -> None:
        with reraise_disk_errors(self.path):
            self.sink.close()


__all__ = ["check_target", "replace_atomically", "write", "write_series", "writing"]
