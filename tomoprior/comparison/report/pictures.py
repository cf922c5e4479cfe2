"""The figures of agreement and of planted objects, and the list of all figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np

from tomoprior.comparison.report import words
from tomoprior.comparison.report.curves import against_truth, between_halves
from tomoprior.comparison.report.figures import (
    HALF,
    NARROW,
    STYLE,
    WIDE,
    Picture,
    add_legend,
    entries_with,
    looks,
    new_figure,
    shorten_label,
)
from tomoprior.comparison.report.slices import slices
from tomoprior.comparison.report.tilts import alignment, predictions, residuals
from tomoprior.comparison.result import Comparison, Entry
from tomoprior.plot.figure import Figure

#: Most methods for which a narrow figure per method is readable.
FEW = 6


def agreement(comparison: Comparison) -> Picture | None:
    """Draw the correlation of every pair of methods."""
    shown = entries_with(comparison, "agreement")
    labels = [e.label for e in shown]
    if len(labels) < 2:
        return None
    n = len(labels)
    values = np.array([[1.0 if a is b else a.evidence["agreement"].get(b.label) for b in shown] for a in shown], dtype=float)
    pairs = [(values[i, j], labels[i], labels[j]) for i in range(n) for j in range(i) if np.isfinite(values[i, j])]
    if not pairs:
        return None
    (least, a, b), (most, c, d) = min(pairs), max(pairs)
    low = min(0.0 if least < 0.5 else 0.5, least)
    size = 1.5 + 0.5 * max(4, n)
    return Picture(
        "agreement",
        "Agreement between methods",
        "Correlation of the volumes, voxel by voxel. Methods that agree may share a wrong assumption.",
        f"Matrix of correlations between {n} methods: least between {a} and {b}, {least:.2f}; "
        f"most between {c} and {d}, {most:.2f}.",
        _matrix(values, labels, low, min(size + 0.9, WIDE), size, bar=True),
        _matrix(values, labels, low, NARROW, NARROW, bar=False) if n <= FEW else None,
    )


def _matrix(values: np.ndarray, labels: list[str], low: float, width: float, height: float, *, bar: bool) -> Figure:
    figure = new_figure(width, height)
    axis = figure.subplots()
    axis.grid(False)
    drawn = axis.pcolormesh(values, cmap="cividis", vmin=low, vmax=1, edgecolor="white", linewidth=1.5)
    for i, j in np.ndindex(*values.shape):
        if i != j and np.isfinite(values[i, j]):
            light = (values[i, j] - low) / (1 - low) > 0.6
            axis.text(j + 0.5, i + 0.5, f"{values[i, j]:.2f}", ha="center", va="center", fontsize=9,
                      color="#111" if light else "white")  # fmt: skip
    names = [shorten_label(t, 16) for t in labels]
    axis.set_xticks(np.arange(len(names)) + 0.5, names, rotation=35, ha="right")
    axis.set_yticks(np.arange(len(names)) + 0.5, names)
    axis.tick_params(length=0)
    axis.invert_yaxis()
    axis.set_aspect("equal")
    for side in axis.spines.values():
        side.set_visible(False)
    if bar:
        figure.colorbar(drawn, ax=axis, shrink=0.7, label="correlation")
    return figure


def planted(comparison: Comparison) -> Picture | None:
    """Draw the contrast at the places of test objects, at places without one, and elsewhere."""
    shown = entries_with(comparison, "planted")
    if not shown:
        return None
    texts = []
    for e in shown:
        result = e.evidence["planted"]
        most = max((v for v in result.get("controls", ()) if v is not None), default=0)
        texts.append(
            f"{e.label}: {words.format_number(result.get('contrast'))} recovered, at most {most:.2f} where "
            f"there is none, {words.format_number(result.get('invented'))} invented"
        )
    return Picture(
        "planted",
        "Planted objects",
        "Spheres of known contrast are added to the tilts. Best: filled points at the dashed line, open points and cross at "
        "zero.",
        "Recovered share of the contrast per method: " + "; ".join(texts) + ".",
        _contrasts(comparison, shown, HALF if len(shown) <= FEW else WIDE),
        _contrasts(comparison, shown, NARROW) if len(shown) <= FEW else None,
    )


def _contrasts(comparison: Comparison, shown: Sequence[Entry], width: float) -> Figure:
    look = looks(comparison)
    figure = new_figure(width, 3.9)
    axis = figure.subplots()
    axis.grid(axis="x", visible=False)
    axis.axhline(1, color="#22272E", lw=1, ls=(0, (4, 3)))
    axis.axhline(0, color="#8A93A0", lw=0.8)

    def spread(count: int, middle: float) -> np.ndarray:
        return middle + 0.055 * (np.arange(count) - (count - 1) / 2)

    for i, e in enumerate(shown):
        one, result = look[e.label], e.evidence["planted"]
        recovered, controls = ([v for v in result.get(k, ()) if v is not None] for k in ("recovered", "controls"))
        common: dict[str, Any] = {"ls": "none", "ms": 7, "color": one.colour, "clip_on": False}
        axis.plot(spread(len(recovered), i - 0.17), recovered, marker="o", mec="white", mew=0.8, **common)
        axis.plot(spread(len(controls), i + 0.12), controls, marker="o", mfc="none", mew=1.4, **common)
        if result.get("invented") is not None:
            axis.plot(i + 0.32, result["invented"], marker="x", mew=2, **common)
        if result.get("contrast") is not None:
            axis.hlines(result["contrast"], i - 0.34, i, color=one.colour, lw=2)
    grey: dict[str, Any] = {"ls": "none", "color": "#4A525C", "ms": 7}
    axis.plot([], [], marker="o", label="object", **grey)
    axis.plot([], [], marker="o", mfc="none", mew=1.4, label="no object", **grey)
    axis.plot([], [], marker="x", mew=2, label="largest elsewhere", **grey)
    add_legend(figure, axis)
    names = [shorten_label(e.label, 16) for e in shown]
    crowded = max(map(len, names)) * len(names) * 0.09 > width - 1  # inches, at 10 points
    axis.set_xticks(range(len(shown)), names, rotation=35 if crowded else 0, ha="right" if crowded else "center")
    axis.set_xlim(-0.6, len(shown) - 0.4)
    axis.set_ylabel("share of its contrast")
    return figure


#: In the order of the page.
ALL: tuple[Callable[[Comparison], Picture | None], ...] = (
    slices, against_truth, predictions, residuals, between_halves, planted, agreement, alignment,
)  # fmt: skip


def pictures(comparison: Comparison) -> list[Picture]:
    """Return every figure that the comparison has evidence for."""
    with mpl.rc_context(STYLE):
        return [p for draw in ALL if (p := draw(comparison)) is not None]
