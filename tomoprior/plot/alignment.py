"""Plot of an alignment: residuals before and after, shifts and angles of the axis of each tilt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tomoprior.errors import InputError
from tomoprior.plot.figure import DPI, NORMAL, SMALL, Figure, simplify_frame
from tomoprior.plot.looks import look
from tomoprior.plot.tilts import TiltCurve, draw_tilts


def alignment(values: Mapping[str, Any], angles: ArrayLike, *, title: str | None = None) -> Figure:
    """Draw the residuals before and after an alignment, the shifts, and the angle of the tilt axis, over the tilt angle.

    Parameters
    ----------
    values
        ``Alignment.to_dict()``, or ``metadata["alignment"]`` of an aligned series.
    angles
        Radians, shape ``(n_angles,)``, in any order.
    title
        Title of the figure.

    Returns
    -------
    Figure
        A matplotlib figure. Bad tilts are marked with their numbers. The panel of the residuals is left out for an alignment
        from a file.

    Raises
    ------
    InputError
        If the number of angles does not fit.
    """
    degrees = np.rad2deg(np.asarray(angles, np.float64))
    shifts = np.asarray(values["shifts"], np.float64)
    if shifts.shape != (len(degrees), 2):
        raise InputError(f"the alignment is of {len(shifts)} tilts, and there are {len(degrees)} angles")
    order = np.argsort(degrees)
    known = values.get("residuals_before") is not None and values.get("residuals_after") is not None
    figure = Figure(figsize=(6.4, 2.2 * (2 + known)), dpi=DPI, facecolor="white", layout="constrained")
    panels = list(figure.subplots(2 + known, 1, sharex=True))
    if known:
        top = panels.pop(0)
        curves = [
            TiltCurve(label, degrees, np.asarray(values[f"residuals_{label}"], np.float64), look(i))
            for i, label in enumerate(("before", "after"))
        ]
        draw_tilts(top, curves, {str(i): degrees[[i]] for i in values.get("bad_tilts", ())})
        top.set_ylabel("relative residual", fontsize=NORMAL)
    turned = np.zeros(len(degrees)) if values.get("rotations") is None else np.asarray(values["rotations"], np.float64)
    rows = [
        (panels[0], "shift (pixels)", {"y": shifts[:, 0], "x": shifts[:, 1]}),
        (panels[1], "axis (degrees from y)", {"": np.rad2deg(values["axis_angle"] + turned)}),
    ]
    for axes, label, columns in rows:
        for i, (name, column) in enumerate(columns.items()):
            axes.plot(degrees[order], column[order], color=look(i).colour, ls=look(i).dash, lw=1.2, marker=look(i).mark, ms=3,
                      label=name or None)  # fmt: skip
        axes.set_ylabel(label, fontsize=NORMAL)
    panels[1].ticklabel_format(useOffset=False)
    panels[1].set_xlabel("tilt angle (degrees)", fontsize=NORMAL)
    for axes in figure.axes:
        simplify_frame(axes)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=SMALL + 1, frameon=False)
    if title:
        figure.suptitle(title, fontsize=NORMAL + 1)
    return figure
