"""Folders with one image a file: the order of the files, and the flat and dark fields among them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tomoprior.formats.angle_units import AngleUnit, unit_in_title
from tomoprior.formats.fields import is_dark_name, is_flat_name

SUFFIXES = (".tif", ".tiff")

_NUMBER = re.compile(r"([0-9]+)")
#: A sign belongs to a number if no letter or digit precedes it: ``ts_-60.0`` but not ``scan-060``.
_SIGNED = re.compile(r"(?:(?<![0-9A-Za-z)\]])[-+])?[0-9]+(?:\.[0-9]+)?")
_NEGATIVE = re.compile(r"(?<![0-9A-Za-z)\]])-[0-9]")
#: A letter or word for a sign, at the start of a name or behind a mark: ``ts_m60.0``, ``tilt-p03``, ``n60``.
_WORD_SIGN = re.compile(r"(?<![0-9A-Za-z])(m|n|p|neg|pos|minus|plus)(?=[0-9])", re.IGNORECASE)
_MINUS = ("m", "n", "neg", "minus")


@dataclass(frozen=True)
class Folder:
    """The TIFF files of a folder in order: projections (or slices), flat and dark fields, and lines for the user."""

    images: list[Path]
    flats: list[Path]
    darks: list[Path]
    warnings: tuple[str, ...] = ()

    def tilt_angles(self) -> list[float] | None:
        """Return the angles in the names of the images, or None.

        They are the one number of each name that is different in all names, has a negative value in some, and is at most 180.
        """
        names = [_signed_key(stem) for stem in _stems(self.images)]
        if len({tuple(text for text, _ in name) for name in names}) != 1:
            return None
        columns = [[value for _, value in name] for name in zip(*names, strict=True)] if len(names) > 1 else []
        tilts = [c for c in columns if min(c) < 0 < max(c) and max(map(abs, c)) <= 180 and len(set(c)) == len(c)]
        return tilts[0] if len(tilts) == 1 else None

    def angle_unit(self) -> AngleUnit:
        """Return the unit in the name of the first image, as in ``a_-1.05rad``; none in most."""
        return unit_in_title(_NUMBER.sub(" ", self.images[0].stem))


def list_images(folder: Path) -> list[Path]:
    """Return all TIFF files of a folder in order; hidden files (``._a.tif`` of macOS) are left out."""
    files = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()]
    return sort_files(files)


def sort_files(files: list[Path]) -> list[Path]:
    """Return the files in natural order (2 before 10), or of signed numbers where some names hold negative ones."""
    stems = dict(zip(files, _stems(files), strict=True))
    if any(_NEGATIVE.search(stem) for stem in stems.values()) and not _is_counted_behind_dashes(list(stems.values())):
        return sorted(files, key=lambda p: (_signed_key(stems[p]), p.name))
    return sorted(files, key=lambda p: [int(t) if t.isdecimal() else t for t in _NUMBER.split(p.name)])


def _is_counted_behind_dashes(stems: list[str]) -> bool:
    """Return whether each name has one dash before a number and these count from 0 or 1: the dash is no sign."""
    numbers = [[value for text, value in _signed_key(stem)[:-1] if value < 0 or f"{value}" == "-0.0"] for stem in stems]
    counted = sorted(-row[0] for row in numbers if len(row) == 1)
    return len(counted) == len(stems) and any(counted == [first + i for i in range(len(stems))] for first in (0, 1))


def sort_out_fields(folder: Path) -> Folder:
    """Return the images of a folder without its flat and dark fields, which are known by words in their names.

    Fields are looked for only if the names of the folder differ in their words: a folder of ``dark_1.tif`` to ``dark_9.tif``
    is a stack of its own.
    """
    files = list_images(folder)
    words = {p: _words(stem) for p, stem in zip(files, _stems(files), strict=True)}
    if len(set(words.values())) < 2:
        return Folder(files, [], [])
    flats = [p for p in files if is_flat_name(words[p])]
    darks = [p for p in files if is_dark_name(words[p]) and p not in flats]
    images = [p for p in files if p not in flats and p not in darks]
    if not images:
        return Folder(files, [], [])
    warnings = []
    if flats or darks:
        warnings.append(f"{folder}: by their names {len(flats)} files are flat and {len(darks)} dark fields, no projections")
    kinds = sorted({words[p] for p in images})
    if len(kinds) > 1:
        listed = ", ".join(kinds[:4]) + (", ..." if len(kinds) > 4 else "")
        warnings.append(f"{folder}: its images have names of {len(kinds)} kinds ({listed}); all are read as one series")
    return Folder(images, flats, darks, tuple(warnings))


def _signed_key(stem: str) -> list[tuple[str, float]]:
    """Return pairs of a text and the signed number behind it."""
    key, end = [], 0
    for match in _SIGNED.finditer(stem):
        key.append((stem[end : match.start()], float(match.group())))
        end = match.end()
    return [*key, (stem[end:], 0.0)]


def _words(stem: str) -> str:
    """Return the name in lower case with ``#`` for each number and its sign."""
    return _SIGNED.sub("#", stem).lower()


def _stems(files: list[Path]) -> list[str]:
    """Return the names without endings. Signs that are written as words become signs where names differ by them alone."""
    plain = [p.stem for p in files]
    signed = [_WORD_SIGN.sub(lambda match: "-" if match[1].lower() in _MINUS else "+", stem) for stem in plain]
    return signed if len({_words(stem) for stem in signed}) < len({_words(stem) for stem in plain}) else plain
