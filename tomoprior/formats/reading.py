"""From a file on disk to a TiltSeries: the stack, its angles from wherever they are, and the checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tomoprior.errors import InputError
from tomoprior.formats import registry, sidefiles
from tomoprior.formats.angle_sources import angles_from_caller, find_series_angles
from tomoprior.formats.base import Stack
from tomoprior.formats.transmission import with_minus_log
from tomoprior.geometry import Geometry
from tomoprior.series import TiltSeries


def open_stack(path: str | Path, *, minus_log: bool = False, **options: Any) -> Stack:
    """Open any file that an installed format knows; nothing but its header is read.

    Parameters
    ----------
    path
        A file or folder, recognised by its content.
    minus_log
        Take minus the natural logarithm of the values when they are read: transmissions become line integrals. A value of zero
        or less becomes NaN.
    options
        For the format: ``dataset`` and ``normalize`` of HDF5, ``dataset`` of Zarr and NumPy's ``.npz``.

    Raises
    ------
    FormatError
        One line that says what is wrong with the file.
    InputError
        For an option that the format does not have.
    """
    path = Path(path)
    stack = registry.for_reading(path).read(path, **options)
    return with_minus_log(stack, path) if minus_log else stack


def read(
    path: str | Path,
    *,
    angles: ArrayLike | str | Path | None = None,
    center: ArrayLike | None = None,
    thickness: int | None = None,
    voxel_size: float | None = None,
    unit: str | None = None,
    shifts: ArrayLike | str | Path | None = None,
    angle_unit: str | None = None,
    **options: Any,
) -> TiltSeries:
    """Read a tilt series with its geometry.

    Parameters
    ----------
    path
        A file of any installed format.
    angles
        Radians, shape ``(n_angles,)``, or a side file (``.tlt``, ``.rawtlt``, ``.mdoc``: degrees). By default what the file
        itself says, then a side file of the same name beside it.
    center, thickness
        As in ``Geometry``; by default the middle of the detector and its width.
    voxel_size, unit
        Override what the file says.
    shifts
        ``(dy, dx)`` per tilt in pixels, or an IMOD ``.xf`` file whose transforms are pure shifts.
    angle_unit
        ``"degree"`` or ``"radian"``: what a side file holds, for the rare one that looks like the other.
    options
        Passed to ``open_stack``.

    Raises
    ------
    FormatError, InputError, GeometryError
        One line that says what is wrong.
    """
    path = Path(path)
    stack = open_stack(path, **options)
    n, ny, nu = stack.data.shape
    if angles is None:
        chosen = find_series_angles(path, stack, unit=angle_unit)
    else:
        chosen = angles_from_caller(angles, path, n, unit=angle_unit)
    if isinstance(shifts, (str, Path)):
        moved: NDArray[np.float64] | None = sidefiles.read_shifts(shifts)
        if moved is not None and len(moved) != n:
            raise InputError(f"{path}: {n} tilts, but {len(moved)} transforms in {shifts}")
    else:
        moved = stack.shifts if shifts is None else _numbers(shifts, "shifts")
    geometry = Geometry(
        chosen.values,
        (nu if thickness is None else thickness, ny, nu),
        (ny, nu),
        center=center,
        shifts=moved,
        voxel_size=stack.voxel_size if voxel_size is None else voxel_size,
        unit=(stack.unit if unit is None else unit),
    )
    metadata = {
        "source": str(path.resolve()),
        "minus_log": bool(options.get("minus_log", False)),
        **({"normalized": stack.attrs["normalized"]} if "normalized" in stack.attrs else {}),
        "angles_from": chosen.source,
        "labels": list(stack.labels),
        "warnings": [*stack.warnings, *chosen.notes],
        "counts": stack.counts,
        "origin": list(stack.origin),
        "attrs": dict(stack.attrs),
    }
    return TiltSeries(stack.data, geometry, metadata=metadata)


def _numbers(values: ArrayLike, name: str) -> NDArray[np.float64]:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be numbers, got {type(values).__name__}") from None
