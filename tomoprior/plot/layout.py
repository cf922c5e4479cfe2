"""Layout of a picture of planes, in inches.

A block is a table of planes with one colour scale: one column per volume, with the rows x-y, x-z and z-y. Blocks are side by
side if they have few columns together, otherwise one below the other.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.ticker import FixedLocator, MaxNLocator

from tomoprior.plot.figure import DPI, NORMAL, SMALL, Figure
from tomoprior.plot.panels import draw_plane, draw_scale_bar, place_axes
from tomoprior.plot.volumes import Planes

#: Largest number of columns of blocks that are side by side.
MAX_COLUMNS = 6
#: Largest width and height of all planes together, and of a column; smallest width of a column and height of a row.
WIDEST, HIGHEST, COLUMN, NARROWEST, LOWEST = 13.0, 9.0, 3.2, 0.75, 0.32
#: Space left of a block for names and numbers, right of it for its colour bar, above it, below it, and between columns.
LEFT, RIGHT, TOP, BOTTOM, BETWEEN = 1.1, 0.85, 0.12, 0.42, 0.08
#: Space below each row; the first row shares the numbers of the second.
BELOW = (0.1, 0.45, BOTTOM)
LINE = 0.16  # height of a line of a title


@dataclass(frozen=True, eq=False)
class Tile:
    """The planes of one volume, which fill a column."""

    label: str
    planes: Planes


@dataclass(frozen=True, eq=False)
class Block:
    """Columns with one scale from ``low`` to ``high``; None is an empty column."""

    name: str
    tiles: list[Tile | None]
    low: float
    high: float
    colours: str


@dataclass(frozen=True)
class Frame:
    """Properties that all planes share: the grid, the point in all of them, and the voxel (edge, unit)."""

    shape: tuple[int, int, int]
    at: tuple[int, int, int]
    voxel: tuple[float, str] | None
    in_unit: bool

    @property
    def step(self) -> float:
        """Distance of neighbouring voxels in the unit of the axes."""
        return self.voxel[0] if self.in_unit and self.voxel else 1.0

    def axis(self, name: str) -> str:
        """Return the label of an axis, with its unit if the axes have one."""
        return f"{name} ({self.voxel[1]})" if self.in_unit and self.voxel else name

    def rows(self) -> tuple[tuple[str, str, str, int, int], ...]:
        """Return title, horizontal and vertical axis, columns and rows of voxels, for x-y, x-z and z-y."""
        (nz, ny, nx), (z, y, x) = self.shape, self.at
        return (("x–y\nz = " + str(z), "x", "y", nx, ny), ("x–z\ny = " + str(y), "x", "z", nx, nz),
                ("z–y\nx = " + str(x), "z", "y", nz, ny))  # fmt: skip


def draw_blocks(blocks: list[Block], frame: Frame, title: str | None) -> Figure:
    """Return the figure of all blocks."""
    side_by_side = sum(t is not None for b in blocks for t in b.tiles) <= MAX_COLUMNS
    if side_by_side:
        blocks = [Block(b.name, [t for t in b.tiles if t is not None], b.low, b.high, b.colours) for b in blocks]
    columns = sum(len(b.tiles) for b in blocks) if side_by_side else max(len(b.tiles) for b in blocks)
    widest, tall = max(frame.shape[2], frame.shape[0]), 2 * frame.shape[1] + frame.shape[0]
    inch = min(COLUMN / widest, WIDEST / columns / widest, HIGHEST / tall / (1 if side_by_side else len(blocks)))
    pitch = max(inch * widest, NARROWEST) + BETWEEN
    heights = [max(inch * rows, LOWEST) for *_, rows in frame.rows()]
    titles = [[textwrap.wrap(t.label, max(8, int(pitch / 0.075))) if t else [] for t in b.tiles] for b in blocks]
    above = TOP + LINE * max(len(lines) for block in titles for lines in block)
    block_height = above + sum(heights) + sum(BELOW)
    head = 0.35 if title else 0.0
    widths = [len(b.tiles) * pitch + RIGHT + (LEFT if i == 0 or not side_by_side else 0.1) for i, b in enumerate(blocks)]
    size = (sum(widths) if side_by_side else max(widths), head + block_height * (1 if side_by_side else len(blocks)))
    figure = Figure(figsize=size, dpi=DPI, facecolor="white")
    if title:
        figure.text(0.5, 1 - 0.2 / size[1], title, ha="center", va="center", fontsize=NORMAL + 2)
    left, top = 0.0, head
    for i, (block, lines) in enumerate(zip(blocks, titles, strict=True)):
        first = i == 0 or not side_by_side
        _Table(figure, frame, block, inch, pitch, heights, left + (LEFT if first else 0.1), top + above).draw(lines, first)
        left, top = (left + widths[i], top) if side_by_side else (left, top + block_height)
    return figure


@dataclass(frozen=True)
class _Table:
    """One block on a figure; ``left`` and ``top`` are the place of its first plane in inches."""

    figure: Figure
    frame: Frame
    block: Block
    inch: float
    pitch: float
    heights: list[float]
    left: float
    top: float

    def draw(self, titles: list[list[str]], first: bool) -> None:
        """Draw all planes and the colour bar, and the names of rows if the block is the ``first`` from the left."""
        colours = matplotlib.colormaps[self.block.colours].with_extremes(bad="red")
        scale = Normalize(self.block.low, self.block.high)
        top = self.top
        for row, (name, horizontal, vertical, nu, nv) in enumerate(self.frame.rows()):
            if first:
                self._text(self.left - LEFT + 0.08, top + self.heights[row] / 2, name)
            for column, tile in enumerate(self.block.tiles):
                if tile is None:
                    continue
                plane, left = np.ma.masked_invalid(tile.planes[row]), self.left + column * self.pitch
                axes = draw_plane(self.figure, plane, left, top, self.inch, self.frame.step, cmap=colours, norm=scale)
                self._ticks(axes, horizontal if row else "", vertical if first and column == 0 else "", nu, nv)
                if row == 0:
                    axes.set_title("\n".join(titles[column]), fontsize=NORMAL, pad=3)
                    if column == 0 and first and self.frame.voxel:
                        edge, unit = self.frame.voxel
                        draw_scale_bar(axes, nu * edge, unit, thickness=2, fontsize=SMALL)
            top += self.heights[row] + BELOW[row]
        bar = place_axes(
            self.figure, self.left + len(self.block.tiles) * self.pitch, self.top, 0.1, min(top - self.top - BOTTOM, 2.5)
        )
        self.figure.colorbar(ScalarMappable(scale, colours), cax=bar, extend=self._beyond()).set_label(
            self.block.name, fontsize=SMALL
        )
        bar.tick_params(labelsize=SMALL, length=2)

    def _text(self, x: float, y: float, text: str) -> None:
        w, h = self.figure.get_size_inches()
        self.figure.text(x / w, 1 - y / h, text, fontsize=NORMAL - 1, ha="left", va="center")

    def _ticks(self, axes: Axes, horizontal: str, vertical: str, nu: int, nv: int) -> None:
        axes.tick_params(labelsize=SMALL, length=2, pad=2, labelbottom=bool(horizontal), labelleft=bool(vertical))
        for axis, name, n in ((axes.xaxis, horizontal, nu), (axes.yaxis, vertical, nv)):
            count = int(n * self.inch / 0.35)  # numbers that fit along the axis
            whole = not self.frame.in_unit
            axis.set_major_locator(MaxNLocator(min(4, count), integer=whole) if count else FixedLocator([0]))
            axis.set_label_text(self.frame.axis(name) if name else "", fontsize=SMALL + 1)
            axis.labelpad = 2

    def _beyond(self) -> str:
        values = np.concatenate([p.ravel() for t in self.block.tiles if t for p in t.planes])
        values = values[np.isfinite(values)]
        low, high = bool((values < self.block.low).any()), bool((values > self.block.high).any())
        return {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[low, high]
