"""Checks of the values of a geometry; each raises GeometryError with one clear line."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tomoprior.errors import GeometryError
from tomoprior.storage.arrays import detach

#: Larger angles are taken for degrees: no series turns a specimen more than twice around.
MAX_ANGLE = 4 * math.pi


def to_tilt_indices(views: ArrayLike, n: int) -> NDArray[np.intp]:
    """Return the indices of the tilts that a list of indices or a boolean mask selects.

    Parameters
    ----------
    views
        Indices, counted from 0, or a boolean mask of shape ``(n,)``.
    n
        Number of tilts.

    Returns
    -------
    numpy.ndarray
        Whole numbers from 0 to ``n - 1``, in the order of the list.

    Raises
    ------
    GeometryError
        If the selection is empty or does not fit.
    """
    array = np.asarray(views)
    if array.dtype == bool:
        if array.shape != (n,):
            raise GeometryError(f"a mask over tilts needs shape ({n},), got {array.shape}")
        array = np.flatnonzero(array)
    if array.size == 0:
        raise GeometryError("the selection of tilts is empty")
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise GeometryError("tilts are selected by a list of whole numbers or by a mask")
    if array.min() < 0 or array.max() >= n:
        raise GeometryError(
            f"tilt {int(array.max() if array.max() >= n else array.min())} does not exist: there are {n}, counted from 0"
        )
    return array.astype(np.intp)


def read_only(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a float64 copy that cannot be changed."""
    array = np.array(array, dtype=np.float64)
    array.flags.writeable = False
    return array


def to_numbers(values: Any, name: str) -> NDArray[np.float64]:
    """Return a float64 array of finite numbers."""
    if np.ma.is_masked(values):
        raise GeometryError(f"{name} must not be masked; leave the tilts out (TiltSeries.select)")
    try:
        listed = np.asarray(detach(values))
        array = np.asarray(listed.real, dtype=np.float64)
    except (TypeError, ValueError):
        raise GeometryError(f"{name} must be numbers, got {type(values).__name__}") from None
    if np.iscomplexobj(listed):
        raise GeometryError(f"{name} must be real numbers, got complex ones")
    if not np.all(np.isfinite(array)):
        raise GeometryError(f"{name} must be finite; {int(np.sum(~np.isfinite(array)))} value(s) are not")
    return array


def check_angles(values: Any) -> NDArray[np.float64]:
    """Return angles in radians, shape ``(n_angles,)``."""
    array = to_numbers(values, "angles")
    if array.ndim != 1 or array.size == 0:
        raise GeometryError(f"angles need shape (n_angles,) with at least one, got {array.shape}")
    worst = float(np.abs(array).max())
    if worst > MAX_ANGLE:
        raise GeometryError(f"an angle of {worst:.6g} radians is beyond 4 pi: are these degrees? Use numpy.deg2rad(angles)")
    return read_only(array)


def check_sizes(values: Iterable[int], n: int, name: str, form: str) -> Any:
    """Return ``n`` whole numbers from 1."""
    try:
        sizes = tuple(values)
    except TypeError:
        sizes = ()
    if len(sizes) != n or not all(isinstance(s, (int, np.integer)) and not isinstance(s, bool) for s in sizes):
        raise GeometryError(f"{name} must be {form} in whole numbers, got {values!r}")
    if min(sizes) < 1:
        raise GeometryError(f"{name} must be at least 1 along every axis, got {sizes}")
    return tuple(int(s) for s in sizes)


def check_center(values: Any, ny: int, nu: int) -> NDArray[np.float64]:
    """Return the rotation axis of every slice, shape ``(ny,)``."""
    array = np.full(ny, nu / 2) if values is None else to_numbers(values, "center")
    if array.shape not in ((), (1,), (ny,)):
        raise GeometryError(f"center must be one number or one per slice ({ny}), got shape {array.shape}")
    array = np.broadcast_to(array, (ny,))
    if np.any(np.abs(array - nu / 2) > nu):
        raise GeometryError(
            f"a center of {array[np.argmax(np.abs(array - nu / 2))]:.6g} lies far outside a detector of {nu} pixels"
        )
    return read_only(array)


def check_shifts(values: Any, n: int) -> NDArray[np.float64] | None:
    """Return shifts of shape ``(n, 2)``, or None if all are zero."""
    if values is None:
        return None
    array = to_numbers(values, "shifts")
    if array.shape != (n, 2):
        raise GeometryError(f"shifts must be (dy, dx) for each of {n} tilts, got shape {array.shape}")
    return read_only(array) if np.any(array) else None


def check_length(value: Any, name: str) -> float:
    """Return a positive, finite number as a float."""
    if not (isinstance(value, numbers.Real) and 0 < float(value) < math.inf):
        raise GeometryError(f"{name} must be a positive number, got {value!r}")
    return float(value)
