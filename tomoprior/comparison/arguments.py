"""Check the arguments of a comparison before any work."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tomoprior import plugins
from tomoprior.comparison.shared import CHECKS
from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.microscopy import flip_phases
from tomoprior.reconstruction import Reconstruction
from tomoprior.series import TiltSeries
from tomoprior.storage.arrays import to_float32
from tomoprior.units import convert_length

#: Voxel sizes may differ by this relative amount, because files round them.
TOLERANCE = 1e-3


def series_to_compare(series: TiltSeries) -> TiltSeries:
    """Return the series in memory, with flipped phases if it has a transfer function, whose absolute value it then has.

    The noise and the content of images with flipped phases are those of the images. Methods that cannot use a transfer function
    can use them, and all methods are judged by the same images.

    Raises
    ------
    InputError
        For a single tilt, values that are not finite, or projections without any contrast.
    """
    if series.geometry.n_angles < 2:
        raise InputError("one tilt determines no volume: there is nothing to compare")
    series = series.load()
    bad = int(np.count_nonzero(~np.isfinite(series.projections)))
    if bad:
        raise InputError(f"{bad} pixel(s) are NaN or infinite; repair them first (repair_pixels, --repair)")
    if series.projections.min() == series.projections.max():
        raise InputError(f"all projections are {series.projections.flat[0]:g} throughout: there is nothing to reconstruct")
    if series.transfer is not None:
        flipped = flip_phases(series.projections, series.transfer)
        series = replace(series, projections=flipped, transfer=np.abs(np.asarray(series.transfer, np.float32)))
    return series


def truth_to_compare(truth: ArrayLike | Reconstruction, geometry: Geometry) -> NDArray[np.float32]:
    """Return the truth as an array; raises InputError for another grid, values that are not finite, or no contrast."""
    array: Any = truth
    if isinstance(truth, Reconstruction):
        array = truth.volume
        check_voxel_size(truth.voxel_size, truth.unit, geometry)
    values = to_float32(array)
    if values.shape != geometry.shape:
        raise InputError(f"the truth has shape {values.shape}, the grid {geometry.shape} (z, y, x)")
    if not np.all(np.isfinite(values)):
        raise InputError("the truth holds NaN or infinite values")
    if values.min() == values.max():
        raise InputError(f"the truth is {values.flat[0]:g} throughout: it has no contrast to compare with")
    return values


def mask_to_compare(mask: ArrayLike | None, geometry: Geometry) -> NDArray[np.float32] | None:
    """Return the mask as an array; raises InputError for another shape, other values than 0 and 1, or an empty mask."""
    if mask is None:
        return None
    values = to_float32(mask)
    nz, ny, nx = geometry.shape
    if values.shape not in ((nz, ny, nx), (nz, nx)):
        raise InputError(f"a mask needs shape ({nz}, {nx}) or {(nz, ny, nx)}, got {values.shape}")
    if not np.isin(values, (0, 1)).all():
        raise InputError("a mask holds 0 and 1 only")
    if not values.any():
        raise InputError("the mask is empty: no voxel is left to reconstruct")
    return values


def check_voxel_size(size: float, unit: str, geometry: Geometry) -> None:
    """Raise InputError if the truth has another voxel size than the grid; a file without a voxel size (pixel) is accepted."""
    if "pixel" in (unit, geometry.unit):
        return
    ratio = convert_length(size, unit, geometry.unit) / geometry.voxel_size
    if abs(ratio - 1) > TOLERANCE:
        raise InputError(
            f"the truth's voxels are {size:.6g} {unit}, the grid's {geometry.voxel_size:.6g} {geometry.unit}: they must agree"
        )


def select_checks(names: Iterable[str]) -> tuple[str, ...]:
    """Return the checks in the order in which they run; raises UnknownNameError."""
    wanted = [name.strip().replace("-", "_") for name in (names.split(",") if isinstance(names, str) else names)]
    for name in wanted:
        if name and name not in CHECKS:
            raise plugins.unknown_name_error("check", name, list(CHECKS))
    return tuple(name for name in CHECKS if name in wanted)
