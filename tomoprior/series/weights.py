"""Check and combine weights of tilts and of pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.storage.arrays import to_float32


def combine_weights(weights: ArrayLike | None, more: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float32]:
    """Return the product of two sets of weights, either of shape ``(n_angles,)`` or ``range_shape``."""
    more = check_weights(more, geometry)
    if weights is None:
        return more
    given = check_weights(weights, geometry)
    per_pixel = given.ndim == 3 or more.ndim == 3
    first, second = (w[:, None, None] if per_pixel and w.ndim == 1 else w for w in (given, more))
    return np.asarray(first * second, np.float32)


def check_weights(weights: ArrayLike, geometry: Geometry) -> NDArray[np.float32]:
    """Return weights as float32, shape ``(n_angles,)`` or ``range_shape``; raises InputError for anything else."""
    array = to_float32(np.ma.filled(weights, 0) if isinstance(weights, np.ma.MaskedArray) else weights)
    if array.shape not in ((geometry.n_angles,), geometry.range_shape):
        raise InputError(f"weights need shape ({geometry.n_angles},) or {geometry.range_shape}, got {array.shape}")
    if not np.all(np.isfinite(array)) or np.any(array < 0):
        raise InputError("weights must be finite and not negative")
    if not np.any(array > 0):
        raise InputError("all weights are zero: no data are left for a reconstruction")
    return array
