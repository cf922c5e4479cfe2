"""Names under which files of other programs keep tilt angles beside the images."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Names in lower case, without a unit at their end.
_NAMES = re.compile(r"(tilt|stage_tilt|theta|((tilt|rot|rotation|projection|scan|stage|tilt_series)_?)?angle(_set)?)s?$")
#: Units of angles that are neither degrees nor radians: one of these, and how many of them.
_OTHER_UNITS = {
    "mrad": ("radian", 1e-3), "milliradian": ("radian", 1e-3),
    "gon": ("degree", 0.9), "grad": ("degree", 0.9), "gradian": ("degree", 0.9),
    "turn": ("degree", 360.0), "revolution": ("degree", 360.0),
}  # fmt: skip
_UNIT_SUFFIX = re.compile(r"_?(in_)?(deg|degs|degree|degrees|rad|rads|radian|radians)$")


def is_angle_name(name: str) -> bool:
    """Return whether an array of this name holds tilt angles; groups before the last slash do not matter.

    Parameters
    ----------
    name
        Name of an array, an attribute or a file without its extension.

    Examples
    --------
    >>> from tomoprior.formats.angle_names import is_angle_name
    >>> is_angle_name("scan/Tilt Angles"), is_angle_name("angles_deg"), is_angle_name("angle_between_crystals")
    (True, True, False)
    """
    return _NAMES.match(_plain(name)) is not None


def best_angle_name(names: Iterable[str]) -> str | None:
    """Return the name of an array with tilt angles, one called ``angles`` first; None if there is none."""
    known = sorted((name for name in names if is_angle_name(name)), key=lambda name: (_plain(name) != "angles", name))
    return known[0] if known else None


def unit_of_name(name: str) -> str | None:
    """Return ``"degree"`` or ``"radian"`` if the name itself says so, as ``angles_rad``; else None."""
    suffix = _UNIT_SUFFIX.search(_lower(name))
    return None if suffix is None else "degree" if suffix[2].startswith("deg") else "radian"


def parse_angle_unit(text: str) -> str | None:
    """Return ``"degree"`` or ``"radian"`` for a unit as files write it (``deg``, ``[rad]``, ``°``), or None."""
    text = text.strip().strip("[]()").lower()
    if text.startswith(("rad", "mrad")):
        return "radian" if text.startswith("rad") else None
    return "degree" if text.startswith(("deg", "°")) else None


def convert_angles(values: ArrayLike, text: str) -> tuple[NDArray[np.float64], str | None]:
    """Return angles in degrees or radians, and which of the two, for a unit as files write it; None for an unknown one.

    Parameters
    ----------
    values
        Numbers in the unit of the file.
    text
        The unit as the file writes it; empty if it says none.

    Examples
    --------
    >>> from tomoprior.formats.angle_names import convert_angles
    >>> values, unit = convert_angles([-50.0, 100.0], "gon")
    >>> values.tolist(), unit
    ([-45.0, 90.0], 'degree')
    """
    numbers = np.asarray(values, dtype=np.float64)
    other = _OTHER_UNITS.get(text.strip().strip("[]()").lower().removesuffix("s"))
    return (numbers, parse_angle_unit(text)) if other is None else (numbers * other[1], other[0])


def _plain(name: str) -> str:
    return _UNIT_SUFFIX.sub("", _lower(name))


def _lower(name: str) -> str:
    return re.sub(r"[\s\-.]+", "_", name.rsplit("/", 1)[-1].strip()).lower()
