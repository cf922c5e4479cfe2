"""From a file on disk to a TiltSeries: the stack, its angles from wherever they are, and the checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tomoprior.errors import InputError
from tomoprior.formats import registry, sidefiles
from tomoprior.formats.base import Stack
from tomoprior.geometry import Geometry
from tomoprior.series import TiltSeries


def open_stack(path: str | Path, **options: Any) -> Stack:
    """Open any file that an installed format knows; nothing but its header is read.

    ``options`` go to the format (``minus_log`` and ``dataset`` of HDF5, say).
    """
    path = Path(path)
    return registry.for_reading(path).read(path, **options)


def read(
    path: str | Path,
    *,
    angles: ArrayLike | str | Path | None = None,
    center: ArrayLike | None = None,
    thickness: int | None = None,
    voxel_size: float | None = None,
    unit: str | None = None,
    shifts: ArrayLike | str | Path | None = None,
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
    options
        Passed to the format's reader.

    Raises
    ------
    FormatError, InputError, GeometryError
        One line that says what is wrong.
    """
    path = Path(path)
    stack = open_stack(path, **options)
    if isinstance(angles, (str, Path)):
        theta = sidefiles.read_angles(Path(angles))
        source = str(angles)
    elif angles is not None:
        theta, source = np.asarray(angles, dtype=np.float64), "given"
    elif stack.angles is not None:
        theta, source = stack.angles, str(path)
    else:
        side = sidefiles.find_angles(path)
        if side is None:
            raise InputError(f"{path}: no tilt angles in the file and no .tlt, .rawtlt or .mdoc beside it; give them (--angles FILE)")
        theta, source = sidefiles.read_angles(side), str(side)
    n, ny, nu = stack.data.shape
    if len(theta) != n:
        raise InputError(f"{path}: {n} tilts, but {len(theta)} angles in {source}")
    if isinstance(shifts, (str, Path)):
        shifts = sidefiles.read_shifts(Path(shifts))
    geometry = Geometry(
        theta,
        (nu if thickness is None else thickness, ny, nu),
        (ny, nu),
        center=center,  # type: ignore[arg-type]
        shifts=stack.shifts if shifts is None else np.asarray(shifts, dtype=np.float64),
        voxel_size=stack.voxel_size if voxel_size is None else voxel_size,
        unit=(stack.unit if unit is None else unit),
    )
    metadata = {
        "source": str(path),
        "angles_from": source,
        "labels": list(stack.labels),
        "warnings": list(stack.warnings),
        "counts": stack.counts,
    }
    return TiltSeries(stack.data, geometry, metadata=metadata)
