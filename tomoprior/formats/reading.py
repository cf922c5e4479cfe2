"""Reading: any file as a stack, or as a tilt series with its angles."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tomoprior.errors import InputError, NoSuchFileError, ReadingWarning
from tomoprior.formats import registry, sidefiles
from tomoprior.formats.addresses import name_source
from tomoprior.formats.angle_sources import angles_from_caller, find_series_angles
from tomoprior.formats.base import Stack
from tomoprior.formats.brightness import Level, prepare_values
from tomoprior.formats.fields import normalize
from tomoprior.formats.geometry_files import read_geometry_beside
from tomoprior.geometry import Geometry
from tomoprior.series import TiltSeries
from tomoprior.storage.lazy import LazyArray, TransposedArray, WrappedArray

#: Options that say what was done to the values, for the record.
_RECORDED = ("minus_log", "i0", "inverted", "subtracted", "normalized")


def open_stack(
    path: str | Path,
    *,
    minus_log: bool = False,
    subtract: Level = None,
    i0: Level = None,
    invert: bool = False,
    flats: str | Path | None = None,
    darks: str | Path | None = None,
    **options: Any,
) -> Stack:
    """Open any file that an installed format knows; only its header is read.

    Parameters
    ----------
    path
        A file or folder, recognised by its content, or the address of a Zarr store (``https://``, ``s3://``).
    minus_log
        Take minus the natural logarithm of the values when they are read: transmissions become line integrals. A value of zero
        or less becomes NaN; values that cannot be transmissions are refused when they are read.
    subtract
        A background to subtract from the values: a number, or ``"auto"`` for the 5th percentile of each tilt.
    i0
        Brightness without specimen, by which the values are divided before the logarithm: a number, or ``"auto"`` for the 95th
        percentile of each tilt. It implies ``minus_log``.
    invert
        Replace each value by the 95th percentile of its tilt minus the value: for images that are dark on bright.
    flats, darks
        A file of flat (dark) fields, or the name of a dataset in an HDF5 file: counts are normalised when they are read.
    options
        For the format: ``dataset``, ``angles_dataset``, ``image_key`` and ``normalize`` of HDF5, ``dataset`` of Zarr and of
        ``.npz``, ``normalize`` of a folder of TIFF files.

    Returns
    -------
    stack
        The array, read when it is indexed, with voxel size, angles and warnings.

    Raises
    ------
    FormatError
        One line that says what is wrong with the file.
    InputError
        For an option that the format does not have.

    Examples
    --------
    >>> import numpy as np
    >>> from tomoprior.formats import open_stack
    >>> np.save("volume.npy", np.zeros((3, 4, 5), np.float32))
    >>> open_stack("volume.npy").data.shape
    (3, 4, 5)
    """
    path = Path(path)
    # workers of a cluster may have another working directory
    fields = {name: value for name, value in (("flats", flats), ("darks", darks)) if value}
    files = {name: Path(value).resolve() for name, value in fields.items() if Path(value).exists()}
    options |= {name: str(value) for name, value in fields.items() if name not in files}
    source = registry.for_reading(path)
    for name in fields:
        if name in options and source.name != "hdf5":
            raise NoSuchFileError(f"{fields[name]}: no such file ({name} of {path.name}, --{name})")
    if "flats" in files and source.name in ("hdf5", "tiff"):
        options.setdefault("normalize", False)  # normalised by these files and not by the format's own fields
    stack = source.read(path, **options)
    if files:
        stack = _normalized(stack, path, files)
    return prepare_values(stack, path, subtract=subtract, i0=i0, invert=invert, minus_log=minus_log)


def read(
    path: str | Path,
    *,
    angles: ArrayLike | str | Path | None = None,
    center: ArrayLike | None = None,
    thickness: int | None = None,
    width: int | None = None,
    voxel_size: float | None = None,
    unit: str | None = None,
    shifts: ArrayLike | str | Path | None = None,
    angle_unit: str | None = None,
    tilt_axis: str = "y",
    **options: Any,
) -> TiltSeries:
    """Read a tilt series with its geometry; everything doubtful about the file is a ``ReadingWarning``.

    Parameters
    ----------
    path
        A file of any installed format.
    angles
        Radians, shape ``(n_angles,)``; or a side file (``.tlt``, ``.rawtlt``, ``.mdoc``: degrees); or a range of degrees as
        ``"-60:60:2"``. By default what the file itself says, then a side file of the same name beside it. A geometry file,
        ``series.geometry.json`` beside ``series.npy``, states angles, rays and axis instead, for a fan beam too
        (``tomoprior.formats.geometry_files.read_geometry``).
    center, thickness
        As in ``Geometry``; by default the middle of the detector and its width.
    width
        Voxels of the grid along x; by default the detector's width. A wider grid holds a specimen that goes on beyond the
        detector, and one that is measured with the axis near the detector's edge (half acquisition).
    voxel_size, unit
        Override what the file says.
    shifts
        ``(dy, dx)`` per tilt in pixels, or an IMOD ``.xf`` file whose transforms are pure shifts.
    angle_unit
        ``"degree"`` or ``"radian"``: the unit of angles whose source states none.
    tilt_axis
        ``"y"`` or ``"x"``: the axis of the images along which the tilt axis lies. For x, rows and columns change places when
        they are read; ``center`` and ``width`` are along the new x, ``shifts`` those of the images in the file. The volume has
        the tilt axis along y; like the hand, its direction is not known (``flipped_hand``).
    options
        Passed to ``open_stack``, such as ``minus_log=True``.

    Returns
    -------
    series
        Its projections stay in the file until they are indexed.

    Raises
    ------
    FormatError, InputError, GeometryError
        One line that says what is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> import tomoprior
    >>> np.save("series.npy", np.ones((5, 4, 16), np.float32))
    >>> tomoprior.read("series.npy", angles="-60:60:30").geometry.n_angles
    5
    """
    series = read_series(
        path, angles=angles, center=center, thickness=thickness, width=width, voxel_size=voxel_size, unit=unit, shifts=shifts,
        angle_unit=angle_unit, tilt_axis=tilt_axis, **options,
    )  # fmt: skip
    lines = list(series.metadata["warnings"])
    if series.metadata["counts"]:
        lines.append(
            f"{path}: these are counts or transmissions; a reconstruction needs line integrals: read them with minus_log=True"
        )
    for line in lines:
        warnings.warn(line, ReadingWarning, stacklevel=2)
    return series


def read_series(
    path: str | Path,
    *,
    angles: ArrayLike | str | Path | None = None,
    center: ArrayLike | None = None,
    thickness: int | None = None,
    width: int | None = None,
    voxel_size: float | None = None,
    unit: str | None = None,
    shifts: ArrayLike | str | Path | None = None,
    angle_unit: str | None = None,
    tilt_axis: str = "y",
    **options: Any,
) -> TiltSeries:
    """Read a tilt series as ``read`` does, without Python warnings.

    Parameters
    ----------
    path, angles, center, thickness, width, voxel_size, unit, shifts, angle_unit, tilt_axis, options
        As for ``read``.

    Returns
    -------
    series
        Lines for the user are in its ``metadata["warnings"]`` only.

    Raises
    ------
    FormatError, InputError, GeometryError
        One line that says what is wrong.
    """
    path = Path(path)
    if tilt_axis not in ("x", "y"):
        raise InputError(f"tilt_axis (--tilt-axis) is 'x' or 'y', got {tilt_axis!r}; another angle needs `tomoprior align`")
    stack = open_stack(path, **options)
    if tilt_axis == "x":
        stack = replace(stack, data=TransposedArray(_lazy(stack.data, path), (0, 2, 1)))
    n, ny, nu = stack.data.shape
    found = read_geometry_beside(
        path, (n, ny, nu), {
            "angles": angles, "angle_unit": angle_unit, "center": center, "shifts": shifts,
            "tilt_axis": None if tilt_axis == "y" else tilt_axis,
        },
        thickness=thickness, width=width, voxel_size=voxel_size, unit=unit,
    )  # fmt: skip
    notes: tuple[str, ...] = ()
    if found is not None:
        geometry, source = found[0], str(found[1])
    else:
        series_angles = (
            find_series_angles(path, stack, unit=angle_unit)
            if angles is None
            else angles_from_caller(angles, path, n, unit=angle_unit)
        )
        source, notes = series_angles.source, series_angles.notes
        image_shifts = _read_shifts(shifts, stack, path)
        if tilt_axis == "x" and image_shifts is not None:
            image_shifts = image_shifts[:, ::-1]
        geometry = Geometry(
            series_angles.values,
            (nu if thickness is None else thickness, ny, nu if width is None else width),
            (ny, nu),
            center=center,
            shifts=image_shifts,
            voxel_size=stack.voxel_size if voxel_size is None else voxel_size,
            unit=(stack.unit if unit is None else unit),
        )
    metadata = {
        "source": name_source(path),
        "minus_log": bool(stack.attrs.get("minus_log", False)),
        **({"tilt_axis": "x"} if tilt_axis == "x" else {}),
        **{key: stack.attrs[key] for key in _RECORDED if key in stack.attrs},
        "angles_from": source,
        "labels": list(stack.labels),
        "warnings": [*_warnings_that_hold(stack, source == str(path)), *notes],
        "counts": stack.counts,
        "origin": list(stack.origin),
        "attrs": dict(stack.attrs),
    }
    return TiltSeries(stack.data, geometry, metadata=metadata)


def _normalized(stack: Stack, path: Path, files: dict[str, Path]) -> Stack:
    """Return the stack divided by the mean of flat fields in another file, less that of dark fields."""
    if "flats" not in files:
        raise InputError(f"{path}: dark fields alone normalise nothing; give flat fields too (--flats)")
    arrays = {name: [_lazy(open_stack(file).data, file)] for name, file in files.items()}
    data = normalize(_lazy(stack.data, path), path, arrays["flats"], arrays.get("darks", []))
    attrs = {**stack.attrs, "normalized": "divided by the flat field", "units": "transmission"}
    return replace(stack, data=data, attrs=attrs, counts=True)


def _warnings_that_hold(stack: Stack, own_angles: bool) -> list[str]:
    """Return the warnings of a stack without the one about rejected angles, if these are used after all."""
    rejected = stack.rejected_angles
    used = own_angles and rejected is not None
    return [line for line in stack.warnings if not (used and rejected is not None and line.startswith(rejected.reason))]


def _lazy(array: Any, path: Path) -> LazyArray:
    return array if isinstance(array, LazyArray) else WrappedArray(array, path)


def _read_shifts(shifts: ArrayLike | str | Path | None, stack: Stack, path: Path) -> NDArray[np.float64] | None:
    if isinstance(shifts, (str, Path)):
        table = sidefiles.read_shifts(shifts)
        if len(table) != stack.data.shape[0]:
            raise InputError(f"{path}: {stack.data.shape[0]} tilts, but {len(table)} transforms in {shifts}")
        return table
    if shifts is None:
        return stack.shifts
    try:
        return np.asarray(shifts, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"shifts must be numbers, got {type(shifts).__name__}") from None
