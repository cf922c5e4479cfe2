"""A matplotlib figure that a notebook shows without pyplot."""

from __future__ import annotations

import io

from matplotlib import figure
from matplotlib.axes import Axes

DPI = 120
SMALL, NORMAL = 7, 9  # font sizes in points


class Figure(figure.Figure):
    """A matplotlib figure that draws itself as the value of a notebook's cell.

    Usually pyplot tells a notebook how to show a figure. It keeps every figure that it creates and chooses a backend for the
    whole process, so a library does without it.
    """

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def simplify_frame(axes: Axes) -> None:
    """Draw small ticks, and a frame on two sides only."""
    axes.tick_params(labelsize=SMALL + 1, length=3)
    axes.spines[["top", "right"]].set_visible(False)
