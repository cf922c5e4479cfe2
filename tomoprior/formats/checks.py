"""Checks that readers share: what a header may say, and which options a reader takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tomoprior.errors import FormatError, InputError

#: A side of an image longer than this is a lie of the header; it also keeps the products within 64 bits.
MAX_SIDE = 1 << 24


def check_shape(shape: Sequence[Any], path: Path, what: str = "the data") -> tuple[int, int, int]:
    """``shape`` as three positive whole numbers.

    Raises
    ------
    FormatError
        For another number of axes, an empty axis, or a size that nothing has.
    """
    if len(shape) != 3:
        raise FormatError(f"{path}: {what} has {len(shape)} axes {tuple(shape)}; three (tilt, y, x) or (z, y, x) are needed")
    sizes = tuple(int(n) for n in shape)
    if min(sizes) < 1:
        raise FormatError(f"{path}: {what} is empty, its shape is {sizes}")
    if max(sizes) > MAX_SIDE:
        raise FormatError(f"{path}: a shape of {sizes} cannot be right")
    return sizes[0], sizes[1], sizes[2]


def check_dtype(dtype: DTypeLike, path: Path, what: str = "the data") -> np.dtype[Any]:
    """``dtype`` if its values are real numbers; FormatError for complex, text, objects, structures and booleans."""
    out = np.dtype(dtype)
    if out.kind not in "fiu":
        raise FormatError(f"{path}: {what} must be real numbers, and is of type {out}")
    return out


def check_room(path: Path, needed: int, size: int) -> None:
    """Raise FormatError if a file of ``size`` bytes cannot hold the ``needed`` bytes that its header promises."""
    if needed > size:
        raise FormatError(f"{path}: truncated, or its header is wrong: it should have {needed} bytes and has {size}")


def no_options(options: Mapping[str, Any], name: str) -> None:
    """Raise InputError if a reader was given options that it does not know."""
    if options:
        raise InputError(f"the {name} reader has no option {', '.join(map(repr, options))}")


def finite_triple(values: Any) -> tuple[float, float, float]:
    """Three finite numbers such as an origin, or zeros if they are anything else."""
    try:
        triple = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return (0.0, 0.0, 0.0)
    if triple.shape != (3,) or not np.all(np.isfinite(triple)):
        return (0.0, 0.0, 0.0)
    return float(triple[0]), float(triple[1]), float(triple[2])


def given_angles(values: Any, n: int, path: Path) -> tuple[np.ndarray[Any, np.dtype[np.float64]] | None, list[str]]:
    """Angles (radians) that a file gives for ``n`` tilts, or None with a warning if they cannot be used."""
    try:
        angles = np.asarray(values, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        return None, [f"{path}: its angles are not numbers and were left alone"]
    if len(angles) != n:
        return None, [f"{path}: {len(angles)} angles for {n} tilts; they were left alone"]
    if not np.all(np.isfinite(angles)):
        return None, [f"{path}: some of its angles are not finite; all were left alone"]
    return angles, []
