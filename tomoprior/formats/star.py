"""STAR files, as RELION and Warp write them: tables ``data_NAME`` of columns ``_column``."""

from __future__ import annotations

import shlex
from pathlib import Path

from tomoprior.errors import FormatError
from tomoprior.formats.text import number, read_text


class StarTable:
    """One table of a STAR file, a loop or a single row.

    Attributes
    ----------
    path
        The file, for messages.
    columns
        Names without the underscore.
    rows, lines
        Words of each row, and the line of the file in which each row stands.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns: list[str] = []
        self.rows: list[list[str]] = []
        self.lines: list[int] = []

    def numbers(self, column: str) -> list[float] | None:
        """Return the numbers of a column, or None if there is no such column; raises FormatError for other words."""
        if column not in self.columns:
            return None
        at = self.columns.index(column)
        return [number(row[at], self.path, line) for row, line in zip(self.rows, self.lines, strict=True)]


def read_star(path: Path) -> list[StarTable]:
    """Return the tables of a STAR file.

    Raises
    ------
    FormatError
        If the file cannot be read, has no table, or a row has another number of words than the table has columns.
    """
    tables: list[StarTable] = []
    loop = False
    for place, line in enumerate(read_text(path).splitlines(), 1):
        text = line.split(" #")[0].strip()
        if not text or text.startswith("#"):
            continue
        if text.startswith("data_"):
            tables.append(StarTable(path))
            loop = False
        elif not tables:
            raise FormatError(f"{path}: line {place} stands before any data_ block; this is no STAR file")
        elif text == "loop_":
            loop = True
        elif text.startswith("_"):
            _add_column(tables[-1], text, place, loop=loop)
        else:
            _add_row(tables[-1], text, place)
    if not any(table.rows for table in tables):
        raise FormatError(f"{path}: no table in it")
    return tables


def _add_column(table: StarTable, text: str, place: int, *, loop: bool) -> None:
    words = text.split(None, 1)
    if table.rows and loop:
        raise FormatError(f"{table.path}: line {place}: column {words[0][:40]} stands after the first row")
    table.columns.append(words[0][1:])
    if not loop:  # a single row is written as pairs of name and value
        if len(words) != 2:
            raise FormatError(f"{table.path}: line {place}: {words[0][:40]} has no value")
        if not table.rows:
            table.rows, table.lines = [[]], [place]
        table.rows[0].append(words[1])


def _add_row(table: StarTable, text: str, place: int) -> None:
    try:
        words = shlex.split(text) if '"' in text or "'" in text else text.split()
    except ValueError:
        raise FormatError(f"{table.path}: line {place} has a quotation mark without its partner") from None
    if len(words) != len(table.columns):
        raise FormatError(f"{table.path}: line {place} has {len(words)} words for {len(table.columns)} columns")
    table.rows.append(words)
    table.lines.append(place)
