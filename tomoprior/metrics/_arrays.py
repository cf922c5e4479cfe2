"""What every measure asks of its arguments, with one clear line where it does not get it."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import InputError

Floats = NDArray[np.float64]
Mode = Literal["standard", "paper"]


class TooSmallError(InputError):
    """The volumes have fewer voxels along an axis than the measure's window."""


def numbers(values: Any, name: str) -> Floats:
    """``values`` (NumPy, torch on any device, or nested lists) in float64, all finite, at least one."""
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


def pair(volume: Any, reference: Any) -> tuple[Floats, Floats]:
    """Both as ``numbers``, of one shape with any number of axes."""
    a, b = numbers(volume, "volume"), numbers(reference, "reference")
    if a.shape != b.shape:
        raise InputError(f"the volume has shape {a.shape}, the reference {b.shape}")
    return a, b


def pair_3d(volume: Any, reference: Any) -> tuple[Floats, Floats]:
    """Both as ``numbers``, of one shape ``(nz, ny, nx)``."""
    a, b = pair(volume, reference)
    if a.ndim != 3:
        raise InputError(f"volumes need three axes (z, y, x), got shape {a.shape}")
    return a, b


def span(reference: Floats, data_range: float | None) -> float:
    """``data_range``, by default maximum minus minimum of the reference; positive."""
    if data_range is not None:
        if not (np.isfinite(data_range) and data_range > 0):
            raise InputError(f"data_range must be positive and finite, got {data_range}")
        return float(data_range)
    found = float(reference.max() - reference.min())
    if found == 0:
        raise InputError("the reference is constant; give data_range")
    return found


def check_mode(mode: str, **chosen: object) -> None:
    """Refuse an unknown mode, and in paper mode any option that its recipe fixes (those of ``chosen`` that are not None)."""
    if mode not in get_args(Mode):
        raise InputError(f"mode must be standard or paper, got {mode!r}")
    given = [name for name, value in chosen.items() if value is not None]
    if mode == "paper" and given:
        raise InputError(f"paper mode fixes {' and '.join(given)} itself: leave it out")
