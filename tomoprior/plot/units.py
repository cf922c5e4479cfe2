"""How lengths are written in pictures."""

from __future__ import annotations

import math

from tomoprior.errors import InputError
from tomoprior.geometry import UNITS

SYMBOLS = dict(zip(UNITS, ("pixel", "Å", "nm", "µm", "mm", "m"), strict=True))


def symbol(unit: str) -> str:
    """``nm`` for ``nanometer``; raises InputError for a unit that ``Geometry`` does not know."""
    if unit not in SYMBOLS:
        raise InputError(f"unit must be one of {', '.join(UNITS)}, got {unit!r}")
    return SYMBOLS[unit]


def check_size(voxel_size: float) -> float:
    """The edge of a voxel, positive and finite; raises InputError."""
    if not (isinstance(voxel_size, (int, float)) and 0 < voxel_size < math.inf):
        raise InputError(f"voxel_size must be a positive number, got {voxel_size!r}")
    return float(voxel_size)


def round_length(longest: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not above ``longest``."""
    power = 10.0 ** math.floor(math.log10(longest))
    return max(m * power for m in (1, 2, 5) if m * power <= longest * (1 + 1e-9))
