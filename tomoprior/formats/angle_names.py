"""Names under which files of other programs keep tilt angles beside the images."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tomoprior.formats.angle_units import without_unit

#: Names in lower case, without a unit at their end.
_NAMES = re.compile(r"(tilt|stage_tilt|theta|((tilt|rot|rotation|projection|scan|stage|tilt_series)_?)?angle(_set)?)s?$")


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


def _plain(name: str) -> str:
    lower = name.rsplit("/", 1)[-1].strip().lower()
    return re.sub(r"[\s\-.]+", "_", without_unit(lower))
