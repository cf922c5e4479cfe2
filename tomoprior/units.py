"""Units of length: their names in files, symbols, and conversion."""

from __future__ import annotations

import math
from typing import Any

from tomoprior.errors import InputError

UNITS = ("pixel", "angstrom", "nanometer", "micrometer", "millimeter", "meter")

_METERS = {"angstrom": 1e-10, "nanometer": 1e-9, "micrometer": 1e-6, "millimeter": 1e-3, "meter": 1.0}

_NAMES = {
    "pixel": ("pixel", "pixels", "px", "voxel", "voxels"),
    "angstrom": ("angstrom", "angstroms", "ångström", "ångstrom", "å", "\u212b", "a", "ang"),
    "nanometer": ("nanometer", "nanometers", "nanometre", "nanometres", "nm"),
    "micrometer": (
        "micrometer", "micrometers", "micrometre", "micrometres", "micron", "microns", "um", "µm", "μm", "\\u00b5m", "\\u03bcm",
    ),
    "millimeter": ("millimeter", "millimeters", "millimetre", "millimetres", "mm"),
    "meter": ("meter", "meters", "metre", "metres", "m"),
}  # fmt: skip
_LOOKUP = {alias: name for name, aliases in _NAMES.items() for alias in aliases}
_SHORT = {"pixel": "pixel", "angstrom": "\u00c5", "nanometer": "nm", "micrometer": "\u00b5m", "millimeter": "mm", "meter": "m"}


def parse_unit(text: Any) -> str | None:
    """Return one of ``UNITS`` for the name of a unit in a file (``"nm"``, ``b"microns"``); None if unknown."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    if not isinstance(text, str):
        return None
    text = text.strip()
    return _LOOKUP.get(text.lower())


def convert_length(value: float, unit: str, target: str) -> float:
    """Return the length ``value`` in ``unit`` as a number of ``target``. Pixels have no size: their number stays the same.

    Raises
    ------
    ValueError
        If either is not one of ``UNITS``.
    """
    if unit not in UNITS or target not in UNITS:
        raise ValueError(f"unit must be one of {', '.join(UNITS)}, got {unit!r} and {target!r}")
    if unit == target or "pixel" in (unit, target):
        return value
    exponent = round(math.log10(_METERS[unit] / _METERS[target]))
    # division by a power of ten is exact, multiplication by its inverse is not
    return value * 10.0**exponent if exponent >= 0 else value / 10.0**-exponent


def parse_size(value: Any) -> float | None:
    """Return ``value`` as a float if it can be the size of a voxel (between 1e-15 and 1e15), else None."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 1e-15 < number < 1e15 else None


def volume_unit(unit: str) -> str:
    """Return the word for lengths in a volume: the symbol of the unit, or ``voxels`` if the voxel size is unknown.

    Examples
    --------
    >>> volume_unit("nanometer"), volume_unit("pixel")
    ('nm', 'voxels')
    """
    return "voxels" if unit == "pixel" else unit_symbol(unit)


def voxel_edge(voxel_size: float, unit: str) -> float:
    """Return the edge of a voxel in the unit that ``volume_unit`` names: 1 if the voxel size is unknown, also of binned data.

    Examples
    --------
    >>> voxel_edge(2.0, "nanometer"), voxel_edge(2.0, "pixel")
    (2.0, 1.0)
    """
    return 1.0 if unit == "pixel" else voxel_size


def unit_symbol(unit: str) -> str:
    """Return the symbol of a unit, ``nm`` for ``nanometer``; raises InputError for a unit that is not in ``UNITS``."""
    if unit not in _SHORT:
        raise InputError(f"unit must be one of {', '.join(UNITS)}, got {unit!r}")
    return _SHORT[unit]


def check_positive_size(voxel_size: float) -> float:
    """Return the edge of a voxel as a float; raises InputError unless it is positive and finite."""
    if not (isinstance(voxel_size, (int, float)) and 0 < voxel_size < math.inf):
        raise InputError(f"voxel_size must be a positive number, got {voxel_size!r}")
    return float(voxel_size)


def round_length(longest: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is not above ``longest``."""
    power = 10.0 ** math.floor(math.log10(longest))
    return max(m * power for m in (1, 2, 5) if m * power <= longest * (1 + 1e-9))
