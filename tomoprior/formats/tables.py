"""The column of tilt angles in a text file: a list, or a table with other columns beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import FormatError
from tomoprior.formats.text import number, read_text

_ANGLE_TITLE = re.compile(r"tilt|angle|theta|deg|rad", re.IGNORECASE)
_RADIAN_TITLE = re.compile(r"\brad|_rad", re.IGNORECASE)
_DEGREE_TITLE = re.compile(r"deg|°", re.IGNORECASE)


@dataclass(frozen=True)
class AngleColumn:
    """Numbers of one column as the file has them.

    Attributes
    ----------
    values
        Shape ``(n,)``.
    lines
        Line of the file in which each number stands, counted from 1.
    unit
        ``"degree"`` or ``"radian"`` if the column's title says so, else None.
    notes
        Lines that a user should see.
    """

    values: NDArray[np.float64]
    lines: list[int]
    unit: str | None = None
    notes: tuple[str, ...] = ()


def read_angle_column(path: Path, *, commas: bool) -> AngleColumn:
    """Return the angles of a text file: one per line, or the column of angles in a table.

    Empty lines and lines that start with ``#`` or ``%`` are left out. A first line of words has the titles of the columns. In a
    table without titles the angles are the first column, or the second if the first one only counts the images.

    Raises
    ------
    FormatError
        If the file is empty, holds anything but finite numbers, or its lines differ in their number of columns.
    """
    rows: list[list[str]] = []
    lines: list[int] = []
    titles: list[str] = []
    for place, line in enumerate(read_text(path).splitlines(), 1):
        text = line.strip()
        if not text or text.startswith(("#", "%")):
            continue
        words = [word.strip() for word in re.split(r"[,;\t]", text)] if commas else text.split()
        if not rows and not titles and not any(_is_number(word) for word in words) and (commas or len(words) > 1):
            titles = words
            continue
        rows.append(words)
        lines.append(place)
    if not rows:
        raise FormatError(f"{path}: no angle in it, the file is empty")
    width = len(rows[0])
    if not commas:
        for words, place in zip(rows, lines, strict=True):
            if len(words) != width or (len(rows) == 1 and width > 1):
                expected = "one angle is" if len(rows) == 1 or width == 1 else f"{width} are"
                raise FormatError(f"{path}: line {place} has {len(words)} words where {expected} expected: {words[0][:40]!r}")
    titled = next((i for i, title in enumerate(titles) if i < width and _ANGLE_TITLE.search(title)), None)
    at, notes = (titled, ()) if titled is not None else _untitled_column(rows, path)
    if any(len(words) <= at for words in rows):
        short = next(place for words, place in zip(rows, lines, strict=True) if len(words) <= at)
        raise FormatError(f"{path}: line {short} has fewer than {at + 1} columns")
    values = np.array([number(words[at], path, place) for words, place in zip(rows, lines, strict=True)])
    return AngleColumn(values, lines, _title_unit(titles[at]) if at < len(titles) else None, notes)


def _untitled_column(rows: list[list[str]], path: Path) -> tuple[int, tuple[str, ...]]:
    """Return the place of the angles in a table without titles, and a note if it is not the first column."""
    if len(rows) < 3 or any(len(words) < 2 or not all(map(_is_number, words[:2])) for words in rows):
        return 0, ()
    first, second = (np.array([float(words[i]) for words in rows]) for i in (0, 1))
    counts = np.array_equal(first, np.arange(len(rows)) + first[0]) and first[0] in (0, 1)
    angles = np.all(np.abs(second) <= 360) and len(np.unique(second)) == len(second)
    if not (counts and angles):
        return 0, ()
    return 1, (f"{path}: its first column counts the images; the angles are taken from the second",)


def _title_unit(title: str) -> str | None:
    if _RADIAN_TITLE.search(title):
        return "radian"
    return "degree" if _DEGREE_TITLE.search(title) else None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
