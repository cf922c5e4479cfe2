"""Plot of the misfit of a volume with each tilt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from tomoprior.errors import InputError
from tomoprior.geometry import MAX_ANGLE
from tomoprior.plot.figure import DPI, NORMAL, SMALL, Figure, simplify_frame
from tomoprior.plot.looks import Look, look


@dataclass(frozen=True, eq=False)
class TiltCurve:
    """A value per tilt to draw: label (may be empty), angles in degrees, values (NaN where there is none), and look."""

    label: str
    degrees: NDArray[np.float64]
    values: NDArray[np.float64]
    look: Look


def draw_tilts(axes: Axes, curves: Sequence[TiltCurve], marked: Mapping[str, NDArray[np.float64]]) -> None:
    """Draw values over the tilt angle, from 0 upwards, and bands at tilts to mark: from names to angles in degrees."""
    top = 0.0
    for curve in curves:
        order = np.argsort(curve.degrees)
        order = order[~np.isnan(curve.values[order])]
        values = curve.values[order]
        axes.plot(curve.degrees[order], values, color=curve.look.colour, ls=curve.look.dash, lw=1.2, marker=curve.look.mark,
                  ms=4 if len(order) < 90 else 2.5, label=curve.label or None)  # fmt: skip
        top = max(top, values.max(initial=0.0))
    for n, (name, degrees) in enumerate(marked.items()):
        for angle in degrees:
            axes.axvline(angle, color="#B3261E", lw=5, alpha=0.14, zorder=0)
        axes.annotate(name, (float(np.mean(degrees)), 1), (0, 3 + 11 * (n % 2)), xycoords=("data", "axes fraction"),
                      textcoords="offset points", ha="center", fontsize=9, color="#B3261E")  # fmt: skip
    axes.set_ylim(0, top * 1.08 or 1)


def residuals(
    residuals: ArrayLike | Mapping[str, ArrayLike],
    angles: ArrayLike,
    *,
    outliers: ArrayLike | None = None,
    title: str | None = None,
) -> Figure:
    """Draw the relative residual of every tilt over its angle.

    Parameters
    ----------
    residuals
        ``||p_i - A_i x|| / ||p_i||`` of each tilt, shape ``(n_angles,)``, or a mapping from labels to such.
    angles
        Radians, shape ``(n_angles,)``, in any order.
    outliers
        Indices of the tilts to mark with their numbers.
    title
        Title of the figure.

    Returns
    -------
    Figure
        A matplotlib figure.

    Raises
    ------
    InputError
        For shapes that do not agree, angles that look like degrees, or outliers that do not exist.
    """
    theta = _numbers(angles, "angles")
    if not np.isfinite(theta).all() or np.abs(theta).max() > MAX_ANGLE:
        raise InputError(
            f"angles must be finite radians within 4 pi, got {theta[np.argmax(np.abs(theta))]:g}: are these degrees?"
        )
    by_label = residuals if isinstance(residuals, Mapping) else {"": residuals}
    if not by_label:
        raise InputError("there are no residuals to show")
    curves = {str(label): _numbers(values, str(label) or "residuals") for label, values in by_label.items()}
    for label, values in curves.items():
        if values.shape != theta.shape:
            raise InputError(f"{label or 'residuals'}: {len(values)} values for {len(theta)} angles")
        if not np.isfinite(values).any():
            raise InputError(f"{label or 'residuals'}: no value is finite")
        if (values < 0).any():
            raise InputError(f"{label or 'residuals'}: a relative residual is not negative, got {np.nanmin(values):g}")
    marked = _marked(outliers, len(theta))
    figure = Figure(figsize=(6.4, 3.2), dpi=DPI, facecolor="white", layout="constrained")
    axes = figure.subplots()
    degrees = np.rad2deg(theta)
    drawn = [TiltCurve(label, degrees, values, look(i)) for i, (label, values) in enumerate(curves.items())]
    draw_tilts(axes, drawn, {str(view): degrees[[view]] for view in marked})
    axes.set_xlabel("tilt angle (degrees)", fontsize=NORMAL)
    axes.set_ylabel("relative residual", fontsize=NORMAL)
    simplify_frame(axes)
    if any(curves):
        axes.legend(fontsize=SMALL + 1, frameon=False)
    if title:
        figure.suptitle(title, fontsize=NORMAL + 1)
    return figure


def _numbers(values: Any, name: str) -> NDArray[np.float64]:
    try:
        array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be numbers, got {type(values).__name__}") from None
    if array.ndim != 1 or array.size == 0:
        raise InputError(f"{name} need shape (n_angles,) with at least one, got {array.shape}")
    return array


def _marked(outliers: ArrayLike | None, n: int) -> NDArray[np.intp]:
    if outliers is None:
        return np.zeros(0, np.intp)
    array = np.asarray(outliers)
    if array.size == 0:
        return np.zeros(0, np.intp)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InputError("outliers must be a list of whole numbers, the indices of tilts")
    for view in (array.min(), array.max()):
        if not 0 <= view < n:
            raise InputError(f"tilt {view} does not exist: there are {n}, counted from 0")
    return array.astype(np.intp)
