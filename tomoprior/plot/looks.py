"""The look of a curve: colour, mark and dashes, the same in reports and in figures for users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: Colours that differ with any colour vision (Okabe and Ito). Marks and dashes differ too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F5539", "#6A3D9A")
MARKS = "osD^vP*X"
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))


@dataclass(frozen=True)
class Look:
    """Colour, mark and dashes of a method."""

    colour: str
    mark: str
    dash: Any


def look(index: int) -> Look:
    """Return the look of the curve with this number; the first 32 differ."""
    turn = index // len(COLOURS)
    return Look(COLOURS[index % len(COLOURS)], MARKS[(index + 3 * turn) % len(MARKS)], DASHES[(index + turn) % len(DASHES)])
