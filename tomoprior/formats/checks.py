"""Checks that readers share: shapes, types and sizes in a header, and the options of a reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tomoprior.errors import FormatError, InputError

#: No image has a longer side: a header that says so is wrong. It also keeps products of sizes within 64 bits.
MAX_SIDE = 1 << 24


def check_shape(shape: Sequence[Any], path: Path, what: str = "the data") -> tuple[int, int, int]:
    """Return ``shape`` as three positive whole numbers.

    Parameters
    ----------
    shape
        What the header says.
    path, what
        The file, and words for the array, for the message.

    Raises
    ------
    FormatError
        For another number of axes, an empty axis, or an impossible size.
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
    """Return ``dtype`` if its values are real numbers.

    Parameters
    ----------
    dtype
        What the header says.
    path, what
        The file, and words for the array, for the message.

    Raises
    ------
    FormatError
        For complex numbers, text, objects, structures and booleans.
    """
    checked = np.dtype(dtype)
    if checked.kind not in "fiu":
        raise FormatError(f"{path}: {what} must be real numbers, and is of type {checked}")
    return checked


def check_room(path: Path, needed: int, size: int) -> None:
    """Raise FormatError if a file of ``size`` bytes cannot hold the ``needed`` bytes that its header promises."""
    if needed > size:
        raise FormatError(f"{path}: truncated, or its header is wrong: it should have {needed} bytes and has {size}")


def refuse_options(options: Mapping[str, Any], name: str) -> None:
    """Raise InputError for options that a reader does not know."""
    if options:
        raise InputError(f"the {name} reader has no option {', '.join(map(repr, options))}")


def finite_triple(values: Any) -> tuple[float, float, float]:
    """Return three finite numbers such as an origin, or zeros if they are anything else."""
    try:
        triple = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return (0.0, 0.0, 0.0)
    if triple.shape != (3,) or not np.all(np.isfinite(triple)):
        return (0.0, 0.0, 0.0)
    return float(triple[0]), float(triple[1]), float(triple[2])
