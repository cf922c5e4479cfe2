"""Figures with a value per tilt: residuals and predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tomoprior import plot
from tomoprior.comparison import summary
from tomoprior.comparison.report import words
from tomoprior.comparison.report.figures import HALF, NARROW, Picture, add_legend, entries_with, looks, new_figure
from tomoprior.comparison.result import Comparison, Entry
from tomoprior.plot.tilts import TiltCurve, draw_tilts


def residuals(comparison: Comparison) -> Picture | None:
    """Draw the residual per tilt of every method, and name the bad tilts."""
    shown = entries_with(comparison, "residual")
    if not shown:
        return None
    named = name_tilts(comparison, list_bad_tilts(comparison))
    told = f"Bad for at least half of the methods: {'; '.join(named)}." if named else _tell_single(comparison, shown)
    lines = [(e, e.evidence["residual"]["angles"], e.evidence["residual"]["residuals"]) for e in shown]
    return Picture(
        "residual_tilts",
        "How well each tilt is explained",
        f"Relative residual of every tilt, for the volume from all tilts. {told} A smaller residual is not better by itself: "
        "noise can be fitted too.",
        f"Residual against tilt angle for {_labels(shown)}. {told}",
        *(_against_angle(comparison, lines, "relative residual", named, width) for width in (HALF, NARROW)),
    )


def alignment(comparison: Comparison) -> Picture | None:
    """Draw residuals, shifts and tilt axis of the alignment of the series, if it was aligned here."""
    values = comparison.about.get("alignment")
    if values is None:
        return None
    said = "; ".join(values["statements"]) or "all tilts are placed"
    return Picture(
        "alignment",
        "How the tilts were aligned",
        "Relative residual of every tilt before and after the alignment, its shifts, and the angle of the tilt axis.",
        f"Residuals, shifts and tilt axis against tilt angle: {said}.",
        plot.alignment(values, comparison.geometry.angles),
    )


def predictions(comparison: Comparison) -> Picture | None:
    """Draw the prediction error of every held-out tilt."""
    shown = entries_with(comparison, "held_out")
    if not shown:
        return None
    views = {v for e in shown for v in e.evidence["held_out"]["views"]}
    named = name_tilts(comparison, [i for i in list_bad_tilts(comparison) if i in views])
    lines = [(e, e.evidence["held_out"]["angles"], e.evidence["held_out"]["errors"]) for e in shown]
    totals = ", ".join(f"{e.label} {words.format_number(e.evidence['held_out'].get('error'))}" for e in shown)
    return Picture(
        "held_out_tilts",
        "How well unseen tilts are predicted",
        "Relative error of tilts that the method did not see, after a scale, an offset and a shift are fitted to each. It "
        "includes the noise. " + ("Bad tilts are marked." if named else ""),
        f"Prediction error against tilt angle of held-out tilts; all together: {totals}.",
        *(_against_angle(comparison, lines, "relative error", named, width) for width in (HALF, NARROW)),
    )


def _tell_single(comparison: Comparison, entries: Sequence[Entry]) -> str:
    """Return the tilts that are outliers for single methods only, in words."""
    order = np.argsort(np.argsort(comparison.geometry.angles))
    outliers = {e.label: sorted(e.evidence["residual"].get("outliers", ()), key=lambda i: order[i]) for e in entries}
    texts = [f"{label} ({'; '.join(name_tilts(comparison, tilts))})" for label, tilts in outliers.items() if tilts]
    return f"Single methods have bad tilts: {', '.join(texts)}." if texts else "No tilt is bad."


def list_bad_tilts(comparison: Comparison) -> list[int]:
    """Return the tilts that are outliers for at least ``summary.CONSENT`` of the methods: indices in the order of angle."""
    return sorted(summary.find_bad_tilts(comparison.entries), key=lambda i: float(comparison.geometry.angles[i]))


def name_tilts(comparison: Comparison, tilts: Sequence[int]) -> dict[str, list[int]]:
    """Return names from the tilts' numbers in the user's file and their angles; neighbours share a name."""
    order = [int(i) for i in np.argsort(comparison.geometry.angles)]
    groups: list[list[int]] = []
    for i in tilts:
        if groups and order.index(i) == order.index(groups[-1][-1]) + 1:
            groups[-1].append(i)
        else:
            groups.append([i])
    degrees, views = np.rad2deg(comparison.geometry.angles), comparison.about.get("views")
    out = {}
    for group in groups:
        numbers = words.format_runs(sorted(i if views is None else int(views[i]) for i in group))
        ends = dict.fromkeys(words.format_short(float(degrees[i])) for i in (group[0], group[-1]))
        out[f"tilt{'s' * (len(group) > 1)} {numbers}, {'° to '.join(ends)}°"] = group
    return out


def _against_angle(
    comparison: Comparison, lines: Sequence[tuple[Entry, Any, Any]], label: str, named: dict[str, list[int]], width: float
) -> Any:
    look = looks(comparison)
    figure = new_figure(width, 3.6)
    axis = figure.subplots()
    curves = [TiltCurve(e.label, np.array(angles), np.array(values, float), look[e.label]) for e, angles, values in lines]
    draw_tilts(axis, curves, {name: np.rad2deg(comparison.geometry.angles[tilts]) for name, tilts in named.items()})
    axis.set_xlabel("tilt angle, degrees")
    axis.set_ylabel(label)
    add_legend(figure, axis)
    return figure


def _labels(entries: Sequence[Entry]) -> str:
    return ", ".join(e.label for e in entries)
