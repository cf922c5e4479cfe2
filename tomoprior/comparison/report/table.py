"""The tables of a comparison: one row per entry, one column per number that exists."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tomoprior.comparison.report import words
from tomoprior.comparison.report.columns import GROUPS, TILTS, TRUTH, Column, Group
from tomoprior.comparison.report.words import NONE
from tomoprior.comparison.result import Comparison, Entry, Ranking


@dataclass(frozen=True)
class Cell:
    """A cell of the table: the value, a small detail, and whether it is the best beyond ties."""

    text: str
    detail: str = ""
    best: bool = False


@dataclass(frozen=True)
class Heading:
    """A group of columns with at least one value: the titles of its columns, its meaning and its limit."""

    title: str
    columns: tuple[str, ...]
    what: str
    limit: str


@dataclass(frozen=True)
class Row:
    """An entry with its cells; no cells if it has neither volume nor evidence."""

    entry: Entry
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A table for the page: title, headings and rows."""

    title: str
    headings: tuple[Heading, ...]
    rows: tuple[Row, ...]

    @property
    def marked(self) -> bool:
        """Return whether a value is marked as the best."""
        return any(cell.best for row in self.rows for cell in row.cells)


def tables(comparison: Comparison) -> list[Table]:
    """Return the tables of the page: against the truth, if there is one, and from the tilts, with what went wrong."""
    against = _table("Against the truth", TRUTH, comparison)
    tilts = _table("From the tilts", TILTS, comparison)
    compared = tuple(row for row in against.rows if any(cell.text != NONE for cell in row.cells))
    return [replace(against, rows=compared), tilts] if compared else [tilts]


def _table(title: str, all_groups: Sequence[Group], comparison: Comparison) -> Table:
    voxel, unit = words.voxel(comparison.geometry), words.unit(comparison.geometry)
    groups = [(g, [c for c in used_columns(g, comparison) if c.title]) for g in all_groups]
    groups = [(g, columns) for g, columns in groups if columns]
    columns = [c for _, shown in groups for c in shown]
    best = {c.name: _best(c, comparison) for c in columns}

    def cells(entry: Entry) -> tuple[Cell, ...]:
        row = [
            Cell(c.shown(entry, voxel), c.detail(entry, voxel) if c.detail else "", entry.label == best[c.name])
            for c in columns
        ]
        return tuple(row) if entry.evidence or entry.volume is not None else ()

    return Table(
        title,
        tuple(
            Heading(g.title.replace("{unit}", unit), tuple(c.title for c in shown), g.explain(shown), g.limit)
            for g, shown in groups
        ),
        tuple(Row(e, cells(e)) for e in comparison.entries),
    )


def as_csv(comparison: Comparison) -> str:
    """Return the numbers in full as CSV: one line per entry, empty without a value."""
    voxel = words.voxel(comparison.geometry)
    columns = [c for g in GROUPS for c in used_columns(g, comparison)]
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["label", "method", "status", "message", *(c.name for c in columns), "length_unit"])
    for e in comparison.entries:
        values = (c.value(e, voxel) for c in columns)
        numbers = ("" if v is None else repr(float(v)) for v in values)
        rows.writerow([e.label, e.method, e.status, e.message, *numbers, words.unit(comparison.geometry)])
    return out.getvalue()


def used_columns(group: Group, comparison: Comparison) -> list[Column]:
    """Return the columns of a group that have a value for at least one entry."""
    voxel = words.voxel(comparison.geometry)

    def has(column: Column, entry: Entry) -> bool:
        return column.value(entry, voxel) is not None or bool(column.detail and column.detail(entry, voxel))

    return [c for c in group.columns if any(has(c, e) for e in comparison.entries)]


def places(ranking: Ranking) -> list[tuple[str, tuple[str, ...]]]:
    """Return the groups with their places, best first: ``1``, or ``2–4`` for three that share them."""
    out, taken = [], 0
    for group in ranking.groups:
        first, taken = taken + 1, taken + len(group)
        out.append((f"{first}" if len(group) == 1 else f"{first}–{taken}", group))
    return out


def _best(column: Column, comparison: Comparison) -> str | None:
    """Return the label of the entry that is best in a column beyond ties, or None.

    If a ranking uses the column, its ties count; otherwise values with the same text are tied.
    """
    voxel = words.voxel(comparison.geometry)
    values = {e.label: v for e in comparison.entries if (v := column.value(e, voxel)) is not None}
    if not column.better or len(values) < 2:
        return None
    for ranking in comparison.rankings:
        if ranking.measure and ranking.measure == column.measure and ranking.groups:
            return ranking.groups[0][0] if len(ranking.groups[0]) == 1 else None

    def score(label: str) -> float:
        value = values[label]
        return value if column.better == "high" else -value if column.better == "low" else -abs(value - 1)

    first = max(values, key=score)
    same = [label for label in values if column.shown(comparison[label], voxel) == column.shown(comparison[first], voxel)]
    return first if len(same) == 1 else None
