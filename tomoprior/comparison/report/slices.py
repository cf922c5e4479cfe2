"""Middle slices of the truth and all methods on one grey scale."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from tomoprior.comparison.report import words
from tomoprior.comparison.report.figures import TRUTH, Picture, looks, new_figure, shorten_label
from tomoprior.comparison.report.planes import PLANES, choose_planes
from tomoprior.comparison.report.window import volumes, window
from tomoprior.comparison.result import Comparison
from tomoprior.plot.panels import draw_plane, draw_scale_bar

#: Largest number of volumes in a row; width of the figure, height of a title and gap between slices, in inches.
ACROSS, WIDTH, TITLE, GAP = 5, 12.0, 0.34, 0.05
PLACES = {
    "xy": "x–y in the middle of z",
    "xz": "x–z in the middle of y",
    "zy": "z–y in the middle of x",
}


def slices(comparison: Comparison) -> Picture | None:
    """Draw the middle slices x-y (along the beam) and x-z (where a missing wedge smears) of the truth and every method.

    Of a scan with few slices only the plane that is not too thin is drawn.
    """
    grey, shown = window(comparison), volumes(comparison)
    if grey is None:
        return None
    look = looks(comparison)
    shape = comparison.geometry.shape
    planes = [p for p in choose_planes(shape) if p != "zy"] or ["zy"]
    size = dict(zip("zyx", shape, strict=True))
    wide, high = max(size[PLANES[p][0]] for p in planes), [size[PLANES[p][1]] for p in planes]
    rows = math.ceil(len(shown) / ACROSS)
    columns = math.ceil(len(shown) / rows)
    inch = min((WIDTH / columns - GAP) / wide, (3.6 if len(planes) > 1 else 5.0) / wide, 5.0 / max(high))  # of a voxel
    cell = (wide * inch + GAP, TITLE + sum(high) * inch + len(planes) * GAP)
    figure = new_figure(columns * cell[0] + GAP, rows * cell[1] + GAP)
    figure.set_layout_engine("none")
    outline = [withStroke(linewidth=2.5, foreground="black")]

    def draw(plane: Any, left: float, top: float, label: str) -> Axes:
        """Draw a slice whose upper left corner is this many inches from the figure's."""
        axes = draw_plane(figure, plane, left, top, inch, cmap="gray", vmin=grey.low, vmax=grey.high)
        axes.set_axis_off()
        axes.annotate(label, (0, 1), (4, -4), xycoords="axes fraction", textcoords="offset points", va="top", color="white",
                      fontsize=9, path_effects=outline)  # fmt: skip
        return axes

    for i, (name, volume) in enumerate(shown.items()):
        left, top = GAP + (i % columns) * cell[0], (i // columns) * cell[1] + TITLE
        drawn = []
        for plane, rows_of_voxels in zip(planes, high, strict=True):
            drawn.append(draw(_middle(volume, plane), left, top, "–".join(PLANES[plane])))
            top += rows_of_voxels * inch + GAP
        title = shorten_label(name, max(8, int(wide * inch * 8)))
        drawn[0].set_title(title, color=TRUTH if name not in look else look[name].colour, fontsize=13, pad=4)
        if i == 0:
            width = size[PLANES[planes[0]][0]] * words.voxel(comparison.geometry)
            draw_scale_bar(drawn[0], width, words.unit(comparison.geometry), thickness=4, fontsize=10)
    smeared = ", where the missing wedge smears" if words.misses_wedge(comparison.geometry) else ""
    where = [PLACES[p] + smeared * (p == "xz") for p in planes]
    if len(where) > 1:
        where = [f"{place}: {text}" for place, text in zip(("Above", "Below"), where, strict=True)]
    return Picture(
        "slices",
        "Middle slices",
        f"{'. '.join(where)}. One grey scale for all: {words.format_number(grey.low)} black to "
        f"{words.format_number(grey.high)} white.",
        f"Middle slices of {', '.join(shown)}, side by side on one grey scale.",
        figure,
    )


def _middle(volume: Any, plane: str) -> Any:
    """Return the middle slice of a plane, rows and columns as ``PLANES`` says."""
    nz, ny, nx = volume.shape
    return {"xy": volume[nz // 2], "xz": volume[:, ny // 2], "zy": volume[:, :, nx // 2].T}[plane]
