"""The misfit of a volume with each tilt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tomoprior.errors import InputError
from tomoprior.geometry import MAX_ANGLE
from tomoprior.plot.figure import DPI, NORMAL, SMALL, Figure, plain


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
    order, degrees = np.argsort(theta), np.rad2deg(theta)
    for i, (label, values) in enumerate(curves.items()):
        axes.plot(degrees[order], values[order], "o-", ms=3, lw=1, color=f"C{i}", label=label or None)
        axes.plot(degrees[marked], values[marked], "o", ms=9, mfc="none", mec="crimson", mew=1.2)
    top = np.fmax.reduce(list(curves.values()))
    for view in marked:
        axes.annotate(str(view), (degrees[view], top[view]), (0, 7), textcoords="offset points", ha="center", fontsize=SMALL,
                      color="crimson")  # fmt: skip
    axes.set_ylim(0, 1.15 * float(np.nanmax(top)) or 1.0)
    axes.set_xlabel("tilt angle (degrees)", fontsize=NORMAL)
    axes.set_ylabel("relative residual", fontsize=NORMAL)
    plain(axes)
    if any(curves):
        axes.legend(fontsize=SMALL + 1, frameon=False)
    if title:
        axes.set_title(title, fontsize=NORMAL + 1)
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
        raise InputError("outliers must be a list of tilts' numbers")
    for view in (array.min(), array.max()):
        if not 0 <= view < n:
            raise InputError(f"tilt {view} does not exist: there are {n}, counted from 0")
    return array.astype(np.intp)
