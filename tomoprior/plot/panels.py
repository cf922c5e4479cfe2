"""Planes of volumes at places in inches, and scale bars: the parts of every picture of slices."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from tomoprior.units import round_length


def place_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes whose upper left corner is ``left`` and ``top`` inches from the figure's; returns them."""
    w, h = figure.get_size_inches()
    return figure.add_axes((left / w, 1 - (top + height) / h, width / w, height / h))


def draw_plane(figure: Figure, plane: Any, left: float, top: float, inch: float, step: float = 1.0, **options: Any) -> Axes:
    """Draw a plane with square voxels.

    Parameters
    ----------
    figure
        The figure to draw on.
    plane
        Values, shape ``(rows, columns)``; row 0 is at the top, column 0 at the left.
    left, top
        Inches from the figure's upper left corner to the plane's.
    inch
        Edge of a voxel in inches.
    step
        Edge of a voxel in the unit of the axes; 0 is the centre of the first voxel.
    **options
        Colours and scale, as for ``Axes.imshow``.

    Returns
    -------
    Axes
        The axes of the plane.
    """
    rows, columns = plane.shape
    axes = place_axes(figure, left, top, inch * columns, inch * rows)
    extent = (-0.5 * step, (columns - 0.5) * step, (rows - 0.5) * step, -0.5 * step)
    axes.imshow(plane, extent=extent, aspect="equal", interpolation="nearest", **options)
    return axes


def draw_scale_bar(axes: Axes, width: float, unit: str, *, thickness: float, fontsize: float) -> None:
    """Draw a bar of a round length, at most a third of the plane's ``width`` (in ``unit``), at the lower left."""
    length = round_length(width / 3)
    edged: Any = [withStroke(linewidth=thickness + 2.5, foreground="black")]
    axes.plot([0.05, 0.05 + length / width], [0.08, 0.08], transform=axes.transAxes, color="white", lw=thickness,
              path_effects=edged, solid_capstyle="butt")  # fmt: skip
    outlined: Any = [withStroke(linewidth=2.5, foreground="black")]
    axes.annotate(f"{length:.4g} {unit}", (0.05, 0.08), (0, thickness / 2 + 2), xycoords="axes fraction",
                  textcoords="offset points", color="white", fontsize=fontsize, fontweight="bold",
                  path_effects=outlined)  # fmt: skip
