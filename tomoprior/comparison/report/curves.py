"""Figures of Fourier shell correlations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tomoprior.comparison.report import words
from tomoprior.comparison.report.figures import HALF, NARROW, WIDE, Picture, add_legend, entries_with, looks, new_figure
from tomoprior.comparison.report.plain import pick
from tomoprior.comparison.result import Comparison
from tomoprior.plot.correlation import Curve, draw_curves
from tomoprior.plot.figure import Figure
from tomoprior.plot.looks import Look

ALL = {"fsc": "all directions", "present": "measured directions", "missing": "directions no tilt measured"}


def against_truth(comparison: Comparison) -> Picture | None:
    """Draw the correlation of every volume with the truth: in all directions, in measured ones and in the others."""
    return _curves(
        comparison,
        "truth.curves",
        ("fsc", "present", "missing"),
        "fsc_truth",
        "Agreement with the truth, by detail",
        "Fourier shell correlation with the truth: 1 is full agreement, 0 is none. Detail becomes finer to the right. The mark "
        "shows where the smoothed curve falls below the dashed line at 0.5: the resolution. What agrees in directions no tilt "
        "measured was inferred correctly.",
    )


def between_halves(comparison: Comparison) -> Picture | None:
    """Draw the correlation of the reconstructions from two halves of the tilts, in measured directions and in the others."""
    return _curves(
        comparison,
        "halves",
        ("present", "missing"),
        "fsc_halves",
        "Agreement of two halves of the tilts, by detail",
        "Fourier shell correlation of two reconstructions, each from every other tilt, with the threshold 0.143. High values "
        "in measured directions mean reproducible. In the others they mean only that the method infers the same twice.",
    )


def _curves(comparison: Comparison, path: str, parts: tuple[str, ...], name: str, title: str, caption: str) -> Picture | None:
    kind = path.split(".")[0]
    shown = {p: [(e, c) for e in entries_with(comparison, kind) if _known(c := pick(e.evidence, f"{path}.{p}"))] for p in parts}
    shown = {p: curves for p, curves in shown.items() if curves}
    if not shown:
        return None
    look, voxel, unit = looks(comparison), words.voxel(comparison.geometry), words.unit(comparison.geometry)
    threshold = float(next(iter(shown.values()))[0][1]["threshold"])
    drawn = {part: [_curve(e.label, c, look[e.label]) for e, c in curves] for part, curves in shown.items()}
    ends = {part: [f"{c.label} {_where(c.crossing, voxel, unit)}" for c in curves if not np.isnan(c.crossing)]
            for part, curves in drawn.items()}  # fmt: skip
    alt = [f"in {ALL[part]} it falls below {threshold:g} for " + ", ".join(texts or ["none"]) for part, texts in ends.items()]
    beside, below = new_figure(WIDE if len(shown) > 2 else HALF, 3.6), new_figure(NARROW, 0.8 + 2.5 * len(shown))
    row = beside.subplots(1, len(shown), squeeze=False, sharex=True, sharey=True)[0]
    column = below.subplots(len(shown), 1, squeeze=False, sharey=True)[:, 0]
    for figure, axes in ((beside, row), (below, column)):
        _draw(figure, list(axes), drawn, threshold, voxel, unit)
    return Picture(name, title, caption, "Fourier shell correlation against frequency: " + "; ".join(alt) + ".", beside, below)


def _draw(
    figure: Figure, axes: Sequence[Any], drawn: dict[str, list[Curve]], threshold: float, voxel: float, unit: str
) -> None:
    for axis, (part, curves) in zip(axes, drawn.items(), strict=True):
        draw_curves(axis, curves, threshold, voxel)
        axis.set_title(ALL[part])
        axis.set_xlabel(f"frequency, 1/{'voxel' if unit == 'voxels' else unit}")
        if axis.get_subplotspec().is_first_col():
            axis.set_ylabel("correlation")
    axes[-1].annotate(f"{threshold:g}", (1, threshold), (3, 0), xycoords=("axes fraction", "data"),
                      textcoords="offset points", va="center", fontsize=9.5)  # fmt: skip
    add_legend(figure, axes[0])


def _curve(label: str, values: Any, look: Look) -> Curve:
    # a missing value (None) becomes NaN, which leaves a gap in the curve
    frequency, correlation = (np.array(values[name], float) for name in ("frequency", "correlation"))
    crossing = values.get("crossing")
    return Curve(label, frequency, correlation, np.nan if crossing is None else crossing, look)


def _where(crossing: float, voxel: float, unit: str) -> str:
    if crossing == 0:
        return "everywhere"
    return "nowhere" if crossing >= 0.5 else f"at {words.format_number(voxel / crossing)} {unit}"


def _known(curve: Any) -> bool:
    return bool(curve) and any(v is not None for v in curve.get("correlation", ()))
