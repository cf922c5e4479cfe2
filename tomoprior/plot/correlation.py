"""Fourier shell correlations, and where each crosses a threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from tomoprior.errors import InputError
from tomoprior.metrics import FSC
from tomoprior.plot.figure import DPI, NORMAL, SMALL, Figure, simplify_frame
from tomoprior.plot.looks import Look, look
from tomoprior.units import check_positive_size, unit_symbol

PANELS = {"present": "measured", "missing": "not measured"}


@dataclass(frozen=True, eq=False)
class Curve:
    """A Fourier shell correlation to draw.

    Attributes
    ----------
    label
        Text for the legend.
    frequency, correlation
        One value per shell; frequency in 1 / voxel. NaN leaves a gap.
    crossing
        Frequency at which the curve falls below the threshold, in 1 / voxel: 0 if it is never above, 0.5 if it never falls
        below, NaN if it is unknown.
    look
        Colour, mark and dashes.
    """

    label: str
    frequency: NDArray[np.float64]
    correlation: NDArray[np.float64]
    crossing: float
    look: Look


def draw_curves(axes: Axes, curves: Sequence[Curve], threshold: float, voxel: float = 1.0) -> None:
    """Draw curves over frequency in 1 / ``voxel``, the threshold, and a mark where each falls below it.

    Axes of one figure with ``sharey`` get limits that hold the curves of all of them.
    """
    for curve in curves:
        colour = curve.look.colour
        axes.plot(curve.frequency / voxel, curve.correlation, color=colour, ls=curve.look.dash, lw=1.8, label=curve.label)
        if 0 < curve.crossing < 0.5:
            axes.plot(curve.crossing / voxel, threshold, marker=curve.look.mark, ms=7, color=colour, mec="white", zorder=4,
                      clip_on=False)  # fmt: skip
    axes.axhline(0, color="#B6BDC6", lw=0.8, zorder=1.5)
    axes.axhline(threshold, color="#22272E", lw=1, ls=(0, (4, 3)), zorder=1.5)
    lowest = min((float(np.nanmin(c.correlation)) for c in curves if np.isfinite(c.correlation).any()), default=0.0)
    shared = [a.get_ylim()[0] for a in axes.get_shared_y_axes().get_siblings(axes) if a is not axes and a.lines]
    axes.set_ylim(max(-1.0, min(-0.05, lowest - 0.03, *shared)), 1.03)
    axes.set_xlim(0, 0.5 / voxel)


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
    drawn: list[Curve] = []
    for label, curve in curves.items():
        at = curve.crossing(threshold)
        crosses = 0 < at < 0.5
        text = "no value" if np.isnan(at) else "never above" if at == 0 else f"{edge / at:.3g} {unit}" if crosses else "nowhere"
        drawn.append(Curve(f"{label}: {text}", curve.frequency, curve.correlation, at, look(len(drawn))))
    draw_curves(axes, drawn, threshold)
    axes.set_xlabel("frequency (1 / voxel)", fontsize=NORMAL)
    simplify_frame(axes)
    above = axes.secondary_xaxis("top")
    ticks = np.arange(1, 6) / 10
    above.set_xticks(ticks, [f"{edge / f:.3g}" for f in ticks])
    above.tick_params(labelsize=SMALL + 1, length=3)
    above.set_xlabel(f"resolution ({unit})", fontsize=NORMAL)
    axes.legend(
        fontsize=SMALL + 1, framealpha=0.8, edgecolor="none", title=f"falls below {threshold:g} at", title_fontsize=SMALL + 1
    )
