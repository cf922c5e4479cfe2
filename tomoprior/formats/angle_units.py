"""Units of tilt angles as files write them: one list for side files, HDF5, Zarr, NumPy, TIFF and microscopes' files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

#: ``degree`` or ``radian``, and how many of them one is, by the names of a unit without an ``s`` at their end.
_UNITS = {
    "deg": ("degree", 1.0), "degree": ("degree", 1.0),
    "°": ("degree", 1.0), "º": ("degree", 1.0), "˚": ("degree", 1.0),
    "rad": ("radian", 1.0), "radian": ("radian", 1.0),
    "mrad": ("radian", 1e-3), "milliradian": ("radian", 1e-3), "urad": ("radian", 1e-6), "microradian": ("radian", 1e-6),
    "gon": ("degree", 0.9), "gradian": ("degree", 0.9),
    "turn": ("degree", 360.0), "revolution": ("degree", 360.0),
    "arcmin": ("degree", 1 / 60), "arcminute": ("degree", 1 / 60),
    "arcsec": ("degree", 1 / 3600), "arcsecond": ("degree", 1 / 3600),
}  # fmt: skip
#: A degree in German, 0.9 degrees elsewhere.
_UNCLEAR = "grad"
#: What programs write for no unit.
_NOTHING = ("", "undefined", "<undefined>", "none", "unknown")
_WORD = re.compile(r"[a-zµμ]+|[°º˚]")
_ANY = "|".join(map(re.escape, sorted((*_UNITS, _UNCLEAR), key=len, reverse=True)))
#: A unit at the end of a name, as ``_deg`` or `` (mrad)``; degrees and radians need no mark before them.
_SUFFIX = re.compile(rf"(?:(?:_in)?[\W_]+(?=[^\W_]|°)|(?<=[a-z])(?=deg|(?<![gmuµμ])rad))({_ANY})s?[)\]_]*$")


@dataclass(frozen=True)
class AngleUnit:
    """A unit of angles: ``factor`` times ``name`` (``"degree"`` or ``"radian"``); ``word`` is what the file writes.

    ``name`` is None if the word is no unit, or one that stands for two.
    """

    word: str
    name: str | None
    factor: float = 1.0

    def convert(self, values: Any) -> Any:
        """Return numbers in the unit ``name``; other values, and those of an unknown unit, stay as they are."""
        if self.factor == 1.0:
            return values
        array = np.asarray(values)
        return array * self.factor if array.dtype.kind in "fiu" else values

    def describe(self, source: str, default: str) -> tuple[str, ...]:
        """Return a line for the user if a unit is stated and not known; nothing otherwise."""
        if not self.word or self.name is not None:
            return ()
        unclear = _key(self.word) == _UNCLEAR
        why = "stands for degrees or gons" if unclear else "is unknown"
        return (f"{source}: the unit {self.word[:40]!r} {why}; taken as {default}s",)


def parse_angle_unit(text: str, name: str = "") -> AngleUnit:
    """Return the unit that a file states for its angles, or else the one in the name of their array.

    Parameters
    ----------
    text
        The unit as the file writes it (``deg``, ``[rad]``, ``°``, ``mrad``); empty if it states none.
    name
        Name of the array, such as ``angles_rad``.

    Examples
    --------
    >>> from tomoprior.formats.angle_units import parse_angle_unit
    >>> unit = parse_angle_unit("[gon]")
    >>> unit.name, unit.convert([-50.0, 100.0]).tolist()
    ('degree', [-45.0, 90.0])
    >>> parse_angle_unit("", "scan/angles_rad").name
    'radian'
    """
    known = _UNITS.get(_key(text)) or _by_beginning(_key(text))
    if known is not None:
        return AngleUnit(text, *known)
    suffix = unit_suffix(name)
    if suffix is not None and suffix in _UNITS:
        return AngleUnit(suffix, *_UNITS[suffix])
    return AngleUnit(suffix or "" if text.strip().lower() in _NOTHING else text.strip(), None)


def unit_in_title(title: str) -> AngleUnit:
    """Return the unit in the title of a column, ``tilt (mrad)``; its ``word`` is empty if there is none."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", title)
    for text in (title, spaced):
        for word in _WORD.findall(re.sub(r"arc[ _-]+", "arc", text.lower())):
            key = _key(word)
            if key in _UNITS:
                return AngleUnit(word, *_UNITS[key])
            if key == _UNCLEAR:
                return AngleUnit(word, None)
    return AngleUnit("deg", "degree") if "deg" in title.lower() else AngleUnit("", None)


def unit_suffix(name: str) -> str | None:
    """Return the unit at the end of a name in lower case, as the list of units has it; None if there is none."""
    suffix = _SUFFIX.search(_with_letters(name.rsplit("/", 1)[-1].strip().lower()))
    return None if suffix is None else suffix[1]


def without_unit(name: str) -> str:
    """Return a name in lower case without a unit at its end."""
    return _SUFFIX.sub("", _with_letters(name))


def _key(text: str) -> str:
    plain = text.strip().strip("[]()").strip().lower().removesuffix(".").removesuffix("s")
    return _with_letters(re.sub(r"arc[ _-]+", "arc", plain))


def _with_letters(text: str) -> str:
    return re.sub(r"[µμ]", "u", text)


def _by_beginning(key: str) -> tuple[str, float] | None:
    """Return degrees or radians for texts that begin with them, such as ``degrees (CCW)``."""
    first = re.match(r"(°|deg|rad)(r|ree|ian)?s?(?![a-z])", key)
    return None if first is None else _UNITS[first[1]]
