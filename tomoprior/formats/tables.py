"""The column of tilt angles in a text file: a list, or a table with other columns beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import FormatError
from tomoprior.formats.angle_units import unit_in_title
from tomoprior.formats.star import read_star
from tomoprior.formats.text import number, read_text

_ANGLE_TITLE = re.compile(r"tilt|angle|theta|(?<![a-z])(deg|rad)(s|ree|rees|ian|ians)?(?![a-z])", re.IGNORECASE)
#: Words in the title of a column that counts the tilts or says something else about them.
_OTHER_TITLE = re.compile(
    r"(?<![a-z])(id|idx|index|number|num|no|nr|order|count|sec|frames?|images?|axis|names?|files?|error|offset|dose|time|xtilt|ytilt)"
    r"(?![a-z])",
    re.IGNORECASE,
)
#: Columns of tilt angles in the tables of RELION and Warp, the best first.
_STAR_ANGLES = ("rlnTomoYTilt", "rlnTomoNominalStageTiltAngle", "wrpAngleTilt")
_MAX_DEGREES = 360
_DECIMAL_COMMA = re.compile(r"^([-+]?\d+),(\d+)$")


@dataclass(frozen=True)
class AngleColumn:
    """Numbers of one column.

    Attributes
    ----------
    values
        Shape ``(n,)``, in degrees or radians.
    lines
        Line of the file in which each number stands, counted from 1.
    unit
        ``"degree"`` or ``"radian"`` if the column's title says so, else None.
    notes
        Lines that a user should see.
    converted_from
        The unit in the file, if it is neither of the two.
    """

    values: NDArray[np.float64]
    lines: list[int]
    unit: str | None = None
    notes: tuple[str, ...] = ()
    converted_from: str | None = None


def read_angle_column(path: Path, *, commas: bool) -> AngleColumn:
    """Return the angles of a text file: one per line, or the column of angles in a table.

    Empty lines and lines that start with ``#`` or ``%`` are left out. A first line of words has the titles of the columns, or a
    comment before the numbers that has a word for each column. In a table without titles the angles are the first column, or
    the only other one that can hold angles if the first one counts the images.

    Raises
    ------
    FormatError
        If the file is empty, holds anything but finite numbers, its lines differ in their number of columns, or more than one
        column can hold the angles.
    """
    rows: list[list[str]] = []
    lines: list[int] = []
    titles: list[str] = []
    comment: list[str] = []
    content = read_text(path)
    separator = _separator(content) if commas else None
    for place, line in enumerate(content.splitlines(), 1):
        text = line.strip()
        if text.startswith("# Local Alignment"):  # the second part of AreTomo's .aln
            break
        if not text or text.startswith(("#", "%")):
            comment = comment if rows else _split(text.lstrip("#% "), separator)
            continue
        words = _split(text, separator)
        is_title = commas or len(words) > 1 or _ANGLE_TITLE.fullmatch(words[0]) is not None
        if not rows and not titles and is_title and not any(_is_number(word) for word in words):
            titles = words
            continue
        rows.append(words)
        lines.append(place)
    if not rows:
        raise FormatError(f"{path}: no angle in it, {'no line of numbers' if titles else 'the file is empty'}")
    width = len(rows[0])
    if not commas:
        for words, place in zip(rows, lines, strict=True):
            if len(words) != width or (len(rows) == 1 and width > 1):
                expected = "one angle is" if len(rows) == 1 or width == 1 else f"{width} are"
                raise FormatError(f"{path}: line {place} has {len(words)} words where {expected} expected: {words[0][:40]!r}")
    if not titles and width > 1 and len(comment) == width and not any(map(_is_number, comment)):
        titles = comment
    if separator == "," and titles and len(titles) < min(map(len, rows)):
        raise FormatError(
            f"{path}: line {lines[0]} has {width} columns and {len(titles)} titles; write decimal points, or ; between columns"
        )
    titled = _titled_column(titles[:width], rows)
    at, notes = (titled, ()) if titled is not None else _untitled_column(rows, path)
    if any(len(words) <= at for words in rows):
        short = next(place for words, place in zip(rows, lines, strict=True) if len(words) <= at)
        raise FormatError(f"{path}: line {short} has fewer than {at + 1} columns")
    if separator == "," and not titles and all(_is_split_number(words) for words in rows):
        notes += (f"{path}: two columns of whole numbers; if its commas are decimal points, write points",)
    title = titles[at] if at < len(titles) else ""
    unit = unit_in_title(title)
    values = np.array([number(words[at], path, place) for words, place in zip(rows, lines, strict=True)])
    notes += unit.describe(f"{path}: its column {title!r}", "degree")
    return AngleColumn(unit.convert(values), lines, unit.name, notes, unit.word if unit.factor != 1 else None)


def read_star_angles(path: Path) -> AngleColumn:
    """Return the tilt angles in a STAR file of RELION or Warp, in degrees.

    Raises
    ------
    FormatError
        If the file is no STAR file, or has no column of tilt angles.
    """
    for column in _STAR_ANGLES:
        for table in read_star(path):
            values = table.numbers(column)
            if values:
                return AngleColumn(np.array(values), table.lines, "degree")
    raise FormatError(f"{path}: no column of tilt angles in it ({', '.join(_STAR_ANGLES)})")


def _is_split_number(words: list[str]) -> bool:
    """Return whether two words can be one number with a decimal comma."""
    return len(words) == 2 and words[0].lstrip("+-").isdecimal() and words[1].isdecimal()


def _separator(content: str) -> str:
    """Return what separates the columns of a ``.csv``: a semicolon or a tab, where commas are decimal points, or a comma."""
    lines = [line for line in content.splitlines() if line.strip() and not line.lstrip().startswith(("#", "%"))]
    return next((mark for mark in ";\t" if lines and all(mark in line for line in lines)), ",")


def _split(text: str, separator: str | None) -> list[str]:
    if separator is None:
        return text.split()
    words = [word.strip().strip("\"'") for word in text.split(separator)]
    return words if separator == "," else [_DECIMAL_COMMA.sub(r"\1.\2", word) for word in words]


def _titled_column(titles: list[str], rows: list[list[str]]) -> int | None:
    """Return the place of the angles by the titles of the columns, or None if no title says so.

    A column that counts the images is not it if another title fits too: ``tilt`` beside ``tilt angle``.
    """
    named = [i for i, title in enumerate(titles) if _ANGLE_TITLE.search(title.replace("_", " "))]
    best = [i for i in named if not _OTHER_TITLE.search(re.sub(r"[_\W]+", " ", titles[i]))] or named
    numbers = {i: _column_numbers(rows, i) for i in best}
    counting = [i for i, values in numbers.items() if values is not None and _counts_images(values)]
    best = [i for i in best if i not in counting] or best
    return best[0] if best else None


def _column_numbers(rows: list[list[str]], at: int) -> NDArray[np.float64] | None:
    """Return the numbers of a column, or None if not all of its words are numbers."""
    words = [row[at] for row in rows if len(row) > at]
    return np.array(words, float) if len(words) == len(rows) and all(map(_is_number, words)) else None


def _untitled_column(rows: list[list[str]], path: Path) -> tuple[int, tuple[str, ...]]:
    """Return the place of the angles in a table without titles, and a note if it is not certain.

    Raises
    ------
    FormatError
        If the first column counts the images, and more than one other column can hold the angles.
    """
    width = min(len(words) for words in rows)
    columns = {i: _column_numbers(rows, i) for i in range(width)}
    numbers = {i: values for i, values in columns.items() if values is not None}
    if len(rows) >= 3 and 0 not in numbers:  # names of images
        angles = [i for i, values in numbers.items() if _can_be_angles(values)]
        if len(angles) == 1:
            return angles[0], (f"{path}: its first column holds words; the angles are taken from column {angles[0] + 1}",)
    if len(rows) < 3 or width < 2 or 0 not in numbers or not _goes_up(numbers[0]):
        return 0, ()
    others = [i for i, values in numbers.items() if i and _can_be_angles(values)]
    # a dose or a time has one sign
    others = [i for i in others if numbers[i].min() < 0 < numbers[i].max()] or others
    counts = _counts_images(numbers[0])
    if not counts and not any(numbers[i].min() < 0 < numbers[i].max() for i in others):
        return 0, ()
    if len(others) > 1 or (others and not counts):
        candidates = ", ".join(str(i + 1) for i in (others if counts else [0, *others]))
        raise FormatError(
            f"{path}: a table without titles whose columns {candidates} can all hold the angles; "
            "give a file with the angles alone, or titles in its first line"
        )
    if others:
        return others[0], (f"{path}: its first column counts the images; the angles are taken from column {others[0] + 1}",)
    return 0, (f"{path}: its first column is taken as the angles, although it could count the images",)


def _counts_images(values: NDArray[np.float64]) -> bool:
    """Return whether values are whole numbers from 0 or 1 on, each once, in any order."""
    ordered = np.sort(values)
    return bool(ordered[0] >= 0 and np.all(values == np.round(values)) and np.all(np.diff(ordered) == 1))


def _goes_up(values: NDArray[np.float64]) -> bool:
    """Return whether values can count the images or be their times: of one sign and rising, or a count in any order."""
    return bool(values.min() >= 0 and (np.all(np.diff(values) > 0) or _counts_images(values)))


def _can_be_angles(values: NDArray[np.float64]) -> bool:
    distinct = len(np.unique(values)) >= max(2, len(values) // 2)
    return bool(distinct and np.abs(values).max() <= _MAX_DEGREES and not _counts_images(values))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
