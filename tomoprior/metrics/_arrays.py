"""Checks of the arguments that all measures share; errors are one clear line."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import InputError

Floats = NDArray[np.float64]
Mode = Literal["standard", "paper"]


class TooSmallError(InputError):
    """The volumes have fewer voxels along an axis than the measure's window."""


def to_numbers(values: Any, name: str) -> Floats:
    """Return ``values`` (NumPy, torch on any device, or nested lists) in float64; raises InputError if empty or not finite."""
    try:
        # torch has types that NumPy lacks (bfloat16), so it converts its own
        array = values.detach().cpu().double().numpy() if hasattr(values, "detach") else np.asarray(values)
        if np.iscomplexobj(array):
            raise InputError(f"the {name} holds complex values")
        array = np.asarray(array, np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"the {name} must be an array of numbers, got {type(values).__name__}") from None
    if array.size == 0:
        raise InputError(f"the {name} is empty: shape {array.shape}")
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if bad:
        raise InputError(f"the {name} holds NaN or infinite values ({bad} of {array.size})")
    return array


def check_pair(volume: Any, reference: Any) -> tuple[Floats, Floats]:
    """Return both as ``to_numbers`` does; raises InputError for different shapes."""
    a, b = to_numbers(volume, "volume"), to_numbers(reference, "reference")
    if a.shape != b.shape:
        raise InputError(f"the volume has shape {a.shape}, the reference {b.shape}")
    return a, b


def check_pair_3d(volume: Any, reference: Any) -> tuple[Floats, Floats]:
    """Return both as ``to_numbers`` does, shape ``(nz, ny, nx)``; raises InputError for other shapes."""
    a, b = check_pair(volume, reference)
    if a.ndim != 3:
        raise InputError(f"volumes need three axes (z, y, x), got shape {a.shape}")
    return a, b


def resolve_data_range(reference: Floats, data_range: float | None) -> float:
    """Return ``data_range``, by default maximum minus minimum of the reference; raises InputError unless it is positive."""
    if data_range is not None:
        if not (np.isfinite(data_range) and data_range > 0):
            raise InputError(f"data_range must be positive and finite, got {data_range}")
        return float(data_range)
    value_range = float(reference.max() - reference.min())
    if value_range == 0:
        raise InputError("the reference is constant; give data_range")
    return value_range


def check_mode(mode: str, **options: object) -> None:
    """Raise InputError for an unknown mode, or in paper mode for an option that is not None, because that mode fixes them."""
    if mode not in get_args(Mode):
        raise InputError(f"mode must be standard or paper, got {mode!r}")
    fixed = [name for name, value in options.items() if value is not None]
    if mode == "paper" and fixed:
        raise InputError(f"paper mode fixes {' and '.join(fixed)} itself: leave it out")
