"""The style of all figures in a report: one colour, mark and dash per method, and a text for readers who cannot see them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl

from tomoprior.comparison.result import Comparison, Entry
from tomoprior.plot.figure import Figure
from tomoprior.plot.looks import Look, look

TRUTH = "#5B6470"
#: Widest figure that half of the page's width shows without shrinking, in inches, the width of a wide one, and of a phone's.
HALF, WIDE, NARROW = 6.2, 12.0, 3.4

#: matplotlib's rcParams. Typed Any, because matplotlib's types list every name.
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8A93A0",
    "axes.labelcolor": "#22272E",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E9ED",
    "xtick.color": "#4A525C",
    "ytick.color": "#4A525C",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "figure.facecolor": "white",
    "svg.hashsalt": "tomoprior",
    "path.simplify": True,
}


def looks(comparison: Comparison) -> dict[str, Look]:
    """Return the look of each label, in the entries' order; entries without a volume have one too."""
    return {entry.label: look(i) for i, entry in enumerate(comparison.entries)}


@dataclass(frozen=True)
class Picture:
    """A figure with its file name (no suffix), title, caption, alternative text, and a version for a narrow window or None."""

    name: str
    title: str
    caption: str
    alt: str
    figure: Figure
    narrow: Figure | None = None

    @property
    def width(self) -> int:
        """Return the width in CSS pixels, of which an inch has 96."""
        return round(96 * float(self.figure.get_size_inches()[0]))

    @property
    def wide(self) -> bool:
        """Return whether the figure takes the whole width of the page."""
        return bool(self.figure.get_size_inches()[0] > HALF)

    def png(self, dpi: int = 200) -> bytes:
        """Return the figure as PNG."""
        return _save(self.figure, "png", dpi=dpi)

    def svg(self) -> bytes:
        """Return the figure as SVG; the same figure gives the same bytes."""
        return _save(self.figure, "svg", metadata={"Date": None})

    def narrow_svg(self) -> bytes | None:
        """Return the version for a narrow window as SVG, or None."""
        return None if self.narrow is None else _save(self.narrow, "svg", metadata={"Date": None})


def _save(figure: Figure, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(out, format=kind, **options)
    return out.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches. Call it within ``rc_context(STYLE)``, as all drawing."""
    return Figure(figsize=(width, height), layout="constrained")


def add_legend(figure: Figure, axis: Any) -> None:
    """Add one legend above all panels, from the handles of ``axis``, in as many columns as the figure holds."""
    handles, labels = axis.get_legend_handles_labels()
    names = [shorten_label(t) for t in labels]
    widths, room = [0.7 + 0.08 * len(name) for name in names], figure.get_size_inches()[0]  # inches, at 9.5 points
    across = len(names) if sum(widths) <= room else int(room / max(widths))
    figure.legend(handles, names, loc="outside upper left", ncols=max(1, across), fontsize=9.5)


def shorten_label(text: str, length: int = 28) -> str:
    """Return a label that matplotlib draws literally, shortened if it is long."""
    text = text if len(text) <= length else text[: length - 1] + "…"
    return text.replace("$", r"\$")


def entries_with(comparison: Comparison, kind: str) -> Sequence[Entry]:
    """Return the entries with this kind of evidence."""
    return [e for e in comparison.entries if e.evidence.get(kind)]
