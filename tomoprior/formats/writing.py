"""Writing volumes and tilt series to files, completely or not at all, together with their side files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tomoprior.errors import FormatError, InputError
from tomoprior.formats import registry, sidefiles
from tomoprior.formats.base import Header, Sink
from tomoprior.formats.geometry_files import geometry_path, write_geometry
from tomoprior.geometry import FanGeometry, Geometry
from tomoprior.reconstruction import Reconstruction
from tomoprior.series import TiltSeries
from tomoprior.storage.files import check_target, companion_path, record_path, replace_atomically, reraise_disk_errors


@contextmanager
def writing(path: str | Path, header: Header, *, overwrite: bool = False) -> Iterator[Sink]:
    """Open a sink for an array of ``header.shape``; the file appears at ``path`` when the block ends without an error.

    Use it slab by slab: ``sink[0:nz, y0:y1, :] = slab``. With ``header.angles`` the array is a tilt series; for a format that
    cannot hold angles they go to ``NAME.tlt``, which appears together with the file.

    Parameters
    ----------
    path
        A name whose extension selects the format.
    header
        Shape, type, voxel size and, for a tilt series, the angles in radians.
    overwrite
        Replace an existing output.

    Yields
    ------
    sink
        Each region is written once; the order of regions is free.

    Raises
    ------
    FormatError
        If the name has no known extension, the file cannot be written (the disk is full, for example), or rows are missing.
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
        raise FormatError(f"{path}: a folder that is no {target.name} output; it is not replaced")
    with ExitStack() as outputs:
        if header.angles is not None and not getattr(target, "holds_angles", False):
            side = outputs.enter_context(replace_atomically(path.with_suffix(".tlt"), overwrite=overwrite))
            with reraise_disk_errors(path):
                sidefiles.write_angles(side, header.angles)
        temporary = outputs.enter_context(replace_atomically(path, overwrite=overwrite))
        with reraise_disk_errors(path):
            sink = _NamedSink(path, target.create(temporary, replace(header, name=path.stem)))
        try:
            yield sink
        except BaseException:
            with suppress(Exception):  # the first error is reported, and the file is removed in any case
                sink.close()
            raise
        sink.close()
        missing = getattr(sink.sink, "missing", 0)
        if missing:
            raise FormatError(f"{path}: not written, because {missing} rows of {header.shape} are missing")


def write(
    result: Reconstruction | TiltSeries | ArrayLike,
    path: str | Path,
    *,
    overwrite: bool = False,
    labels: tuple[str, ...] = (),
    dtype: Literal["float32", "int16", "int8"] = "float32",
) -> None:
    """Write a volume with its voxel size and unit, or a tilt series, in the format that the name of ``path`` selects.

    Parameters
    ----------
    result
        A reconstruction. Its record (provenance and history) goes beside it as ``NAME.EXT.json``; its standard deviation and
        its share of determined frequencies, where it has them, as ``NAME_std.EXT`` and ``NAME_determined.EXT``. A volume
        without a record removes the record of the volume that it replaces. A tilt series goes to ``write_series``; an array of
        three axes is written as a volume with voxels of 1 pixel.
    path
        A name with a known extension: .mrc, .h5, .tif, .zarr, .npy, .npz.
    overwrite
        Replace an existing output.
    labels
        Lines of text for the file.
    dtype
        Type of the volume's values in the file. ``int16`` and ``int8`` scale the range of the values to that of the type. A
        label and the record (``stored``) say how: a value is ``scale * stored + offset``.

    Raises
    ------
    FormatError, OutputExistsError
        As ``writing``; none of the files exists then.
    InputError
        If ``result`` is no volume of real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> import tomoprior
    >>> tomoprior.write(np.zeros((3, 4, 5), np.float32), "zeros.mrc", overwrite=True)
    """
    path = Path(path)
    if isinstance(result, TiltSeries):
        write_series(result, path, overwrite=overwrite, labels=labels)
        return
    result = (result if isinstance(result, Reconstruction) else _as_reconstruction(result)).numpy()
    # frequencies have no voxel size
    volume, stored = to_stored(result.volume, dtype)
    if stored:
        labels = (*labels, f"value = {stored['scale']:.9g} * stored + {stored['offset']:.9g}")
    arrays = {path: (volume, result.voxel_size, result.unit)}
    if result.std is not None:
        arrays[companion_path(path, "std")] = (result.std, result.voxel_size, result.unit)
    if result.determined is not None:
        arrays[companion_path(path, "determined")] = (result.determined, 1.0, "pixel")
    record_file = record_path(path)
    record = None
    if result.provenance:
        record = {"output": path.name, **result.provenance, "history": dict(result.history)}
        if stored:
            record["stored"] = stored
    with ExitStack() as outputs:
        if record is not None:
            temporary = outputs.enter_context(replace_atomically(record_file, overwrite=overwrite))
            with reraise_disk_errors(record_file):
                temporary.write_text(json.dumps(record, indent=1) + "\n")
        for target, (values, size, unit) in arrays.items():
            header = Header(shape=values.shape, dtype=values.dtype, voxel_size=size, unit=unit, labels=labels)
            sink = outputs.enter_context(writing(target, header, overwrite=overwrite))
            sink[:, :, :] = values
    if record is None and overwrite:
        record_file.unlink(missing_ok=True)


def to_stored(volume: NDArray[np.float32], dtype: str) -> tuple[NDArray[Any], dict[str, Any]]:
    """Return the values as they are stored, and how: ``{}``, or ``dtype``, ``scale`` and ``offset`` of whole numbers.

    Parameters
    ----------
    volume
        Shape ``(nz, ny, nx)``.
    dtype
        ``"float32"``, which changes nothing, ``"int16"`` or ``"int8"``.

    Returns
    -------
    stored
        The values of type ``dtype``; a value of the volume is about ``scale * stored + offset``.
    scaling
        What a record says about the storage.

    Raises
    ------
    InputError
        For another type, or values that are not finite.
    """
    if dtype == "float32":
        return volume, {}
    if dtype not in ("int16", "int8"):
        raise InputError(f"a volume is stored as float32, int16 or int8, not {dtype}")
    low, high = float(volume.min()), float(volume.max())
    if not np.isfinite([low, high]).all():
        raise InputError(f"values that are not finite cannot be stored as {dtype}")
    most = int(np.iinfo(dtype).max)
    scale, offset = (high - low) / (2 * most) or 1.0, (high + low) / 2
    stored = np.empty(volume.shape, dtype)
    for out, plane in zip(stored, volume, strict=True):  # float64 for one plane at a time
        out[...] = np.rint((plane.astype(np.float64) - offset) / scale).clip(-most, most)
    return stored, {"dtype": dtype, "scale": scale, "offset": offset}


def write_series(series: TiltSeries, path: str | Path, *, overwrite: bool = False, labels: tuple[str, ...] = ()) -> None:
    """Write a tilt series, tilt by tilt, with its angles (in the file, or as ``NAME.tlt`` beside it) and pixel size.

    Centre, shifts and weights are not written, because the file formats of the field have no place for them. The geometry of a
    fan is written beside the series, ``series.geometry.json`` for ``series.npy``, where ``tomoprior.read`` finds it, with
    centre and shifts.

    Parameters
    ----------
    series
        Its projections may be in a file; only one tilt at a time is in memory.
    path, overwrite, labels
        As for ``write``.

    Raises
    ------
    FormatError, OutputExistsError
        As ``writing``.

    Examples
    --------
    >>> import numpy as np
    >>> import tomoprior
    >>> from tomoprior.formats import write_series
    >>> geometry = tomoprior.Geometry(np.deg2rad([-60, 0, 60]), (8, 4, 16))
    >>> write_series(tomoprior.TiltSeries(np.zeros((3, 4, 16)), geometry), "tilts.h5", overwrite=True)
    >>> tomoprior.read("tilts.h5").geometry.n_angles
    3
    """
    geometry = series.geometry
    beside, fan = geometry_path(Path(path)), isinstance(geometry, FanGeometry)
    if fan or beside.exists():
        for target in (Path(path), beside):
            check_target(target, overwrite=overwrite)
        if fan:  # first, so that no file of a fan is ever without it
            write_geometry(beside, geometry)
        else:
            beside.unlink()  # it describes the series that is replaced
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


def _as_reconstruction(values: Any) -> Reconstruction:
    """Return an array of three axes as a volume with voxels of 1 pixel."""
    array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    if array.ndim != 3 or array.dtype.kind not in "fiu" or not array.size:
        raise InputError(f"a volume has three axes of real numbers, got shape {array.shape} of {array.dtype}")
    return Reconstruction(array, Geometry([0.0], array.shape))


def _check_header(header: Header) -> None:
    if len(header.shape) != 3 or min(header.shape) < 1:
        raise InputError(f"an output needs three axes of at least one voxel, got {tuple(header.shape)}")
    if np.dtype(header.dtype).kind not in "fiu":
        raise InputError(f"an output must be real numbers, not {np.dtype(header.dtype)}")
    if header.angles is not None and np.shape(header.angles) != (header.shape[0],):
        raise InputError(f"{header.shape[0]} tilts need as many angles, got shape {np.shape(header.angles)}")


class _NamedSink:
    """A sink whose errors name the output rather than its temporary file."""

    def __init__(self, path: Path, sink: Sink) -> None:
        self.path, self.sink = path, sink

    def __setitem__(self, region: tuple[slice, slice, slice], values: NDArray[Any]) -> None:
        with reraise_disk_errors(self.path):
            self.sink[region] = values

    def close(self) -> None:
        with reraise_disk_errors(self.path):
            self.sink.close()


__all__ = ["check_target", "replace_atomically", "write", "write_series", "writing"]
