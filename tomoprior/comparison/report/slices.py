"""Middle slices of the truth and all methods on one grey scale."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from tomoprior.comparison.report import words
from tomoprior.comparison.report.figures import TRUTH, Picture, looks, new_figure, shorten_label
from tomoprior.comparison.report.window import volumes, window
from tomoprior.comparison.result import Comparison
from tomoprior.plot.panels import draw_plane, draw_scale_bar

#: Largest number of volumes in a row; width of the figure, height of a title and gap between slices, in inches.
ACROSS, WIDTH, TITLE, GAP = 5, 12.0, 0.34, 0.05


def slices(comparison: Comparison) -> Picture | None:
    """Draw the middle slices x-y (along the beam) and x-z (where the missing wedge smears) of the truth and every method."""
    grey = window(comparison)
    shown = {name: _fit_to_tilts(comparison, name, volume) for name, volume in volumes(comparison).items()}
    if grey is None:
        return None
    look = looks(comparison)
    nz, ny, nx = comparison.geometry.shape
    rows = math.ceil(len(shown) / ACROSS)
    columns = math.ceil(len(shown) / rows)
    inch = min((WIDTH / columns - GAP) / nx, 3.6 / nx, 4.0 / max(ny, nz))  # of a voxel
    cell = (nx * inch + GAP, TITLE + (ny + nz) * inch + 2 * GAP)
    figure = new_figure(columns * cell[0] + GAP, rows * cell[1] + GAP)
    figure.set_layout_engine("none")
    outline = [withStroke(linewidth=2.5, foreground="black")]

    def draw(plane: Any, left: float, top: float, label: str) -> Axes:
        """Draw a slice whose upper left corner is this many inches from the figure's."""
        axes = draw_plane(figure, plane, left, top, inch, cmap="gray", vmin=grey.low, vmax=grey.high)
        axes.set_axis_off()
        axes.annotate(label, (0, 1), (4, -4), xycoords="axes fraction", textcoords="offset points", va="top", color="white",
                      fontsize=8.5, path_effects=outline)  # fmt: skip
        return axes

    for i, (name, volume) in enumerate(shown.items()):
        left, top = GAP + (i % columns) * cell[0], (i // columns) * cell[1] + TITLE
        above = draw(volume[nz // 2], left, top, "x–y")
        draw(volume[:, ny // 2], left, top + ny * inch + GAP, "x–z")
        title = shorten_label(name, max(8, int(nx * inch * 8)))
        above.set_title(title, color=TRUTH if name not in look else look[name].colour, fontsize=13, pad=4)
        if i == 0:
            width = nx * words.voxel(comparison.geometry)
            draw_scale_bar(above, width, words.unit(comparison.geometry), thickness=4, fontsize=10)
    return Picture(
        "slices",
        "Middle slices",
        "Above: x–y in the middle of z. Below: x–z in the middle of y, where the missing wedge smears. Each volume has the "
        "scale and offset that fit the tilts. One grey scale, "
        f"{words.format_number(grey.low)} black to {words.format_number(grey.high)} white.",
        f"Middle slices of {', '.join(shown)}, side by side on one grey scale.",
        figure,
    )


def _fit_to_tilts(comparison: Comparison, name: str, volume: Any) -> Any:
    """Return the volume with the scale and offset that fit the tilts: a lost zero frequency would hide everything else."""
    calibrations = [e.evidence.get("residual", {}).get("calibration") for e in comparison.entries if e.label == name]
    if not calibrations or calibrations[0] is None:
        return volume
    scale, offset = calibrations[0]
    return scale * volume + offset
