"""Fourier shell correlations, and where each crosses a threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from tomoprior.errors import InputError
from tomoprior.metrics import FSC
from tomoprior.plot.figure import DPI, NORMAL, SMALL, Figure, plain
from tomoprior.units import check_positive_size, unit_symbol

PANELS = {"present": "measured", "missing": "not measured"}


def fsc(
    curves: Mapping[str, FSC | Mapping[str, FSC]],
    *,
    threshold: float = 0.5,
    voxel_size: float | None = None,
    unit: str | None = None,
    title: str | None = None,
) -> Figure:
    """Draw Fourier shell correlations over frequency, with a resolution axis and a mark at each crossing of the threshold.

    Parameters
    ----------
    curves
        From labels to ``FSC``; or from labels to ``{"present": FSC, "missing": FSC}`` as ``metrics.directional_fsc`` gives
        them, for a panel of each.
    threshold
        The smallest correlation that counts as agreement: 0.5 against a truth, 0.143 between halves of the data.
    voxel_size, unit
        Voxel size and its unit, for resolutions in this unit; without them resolutions are in voxels.
    title
        Title of the figure.

    Returns
    -------
    Figure
        A matplotlib figure; the legend holds the resolution of each curve.

    Raises
    ------
    InputError
        For anything but curves of one kind, a threshold outside 0 to 1, or a voxel size without a unit.
    """
    panels = _panels(curves)
    if not 0 < threshold < 1:
        raise InputError(f"threshold must lie between 0 and 1, got {threshold!r}")
    if (voxel_size is None) != (unit is None):
        raise InputError("voxel_size and unit are given together")
    edge, name = (1.0, "voxels") if voxel_size is None or unit is None else (check_positive_size(voxel_size), unit_symbol(unit))
    figure = Figure(figsize=(0.6 + 4.2 * len(panels), 3.6), dpi=DPI, facecolor="white", layout="constrained")
    row = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (heading, drawn) in zip(row, panels.items(), strict=True):
        _draw(axes, drawn, threshold, edge, name)
        if heading:
            axes.set_title(heading, fontsize=NORMAL + 1)
    row[0].set_ylabel("Fourier shell correlation", fontsize=NORMAL)
    if title:
        figure.suptitle(title, fontsize=NORMAL + 2)
    return figure


def _panels(curves: Any) -> dict[str, dict[str, FSC]]:
    if not isinstance(curves, Mapping) or not curves:
        raise InputError("curves must be a mapping from labels to FSC, with one at least")
    if all(isinstance(c, FSC) for c in curves.values()):
        return {"": {str(label): c for label, c in curves.items()}}
    for label, c in curves.items():
        if not (isinstance(c, Mapping) and set(c) == set(PANELS) and all(isinstance(v, FSC) for v in c.values())):
            raise InputError(f"{label}: either all curves are FSC, or all are a mapping of present and missing to FSC")
    return {heading: {str(label): c[part] for label, c in curves.items()} for part, heading in PANELS.items()}


def _draw(axes: Axes, curves: Mapping[str, FSC], threshold: float, edge: float, unit: str) -> None:
    lowest = 0.0
    for i, (label, curve) in enumerate(curves.items()):
        known = curve.correlation[np.isfinite(curve.correlation)]
        lowest = min(lowest, *known) if len(known) else lowest
        at = curve.crossing(threshold)
        crosses = 0 < at < 0.5
        text = "no value" if np.isnan(at) else "never above" if at == 0 else f"{edge / at:.3g} {unit}" if crosses else "nowhere"
        axes.plot(curve.frequency, curve.correlation, color=f"C{i}", lw=1.5, label=f"{label}: {text}")
        if crosses:
            axes.plot([at], [threshold], "o", color=f"C{i}", ms=6, mec="white", zorder=3)
    axes.axhline(threshold, color="0.5", lw=0.8, ls="--")
    axes.set_xlim(0, 0.5)
    axes.set_ylim(max(-1.0, lowest * 1.05), 1.03)
    axes.set_xlabel("frequency (1 / voxel)", fontsize=NORMAL)
    plain(axes)
    above = axes.secondary_xaxis("top")
    ticks = np.arange(1, 6) / 10
    above.set_xticks(ticks, [f"{edge / f:.3g}" for f in ticks])
    above.tick_params(labelsize=SMALL + 1, length=3)
    above.set_xlabel(f"resolution ({unit})", fontsize=NORMAL)
    axes.legend(
        fontsize=SMALL + 1, framealpha=0.8, edgecolor="none", title=f"falls below {threshold:g} at", title_fontsize=SMALL + 1
    )
