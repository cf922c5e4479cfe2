"""Orthogonal slices of volumes side by side, on one grey scale."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from tomoprior.errors import InputError
from tomoprior.plot.figure import Figure
from tomoprior.plot.layout import Block, Frame, Tile, draw_blocks
from tomoprior.plot.volumes import (
    Floats,
    Planes,
    PlotVolume,
    check_point,
    check_shape,
    common_voxel,
    cut_planes,
    label_volumes,
    to_plot_volume,
)

#: Percent of the values beyond either end of an automatic scale: a few hot voxels must not darken all others.
CLIPPED = 0.5


def slices(
    volumes: Any,
    *,
    at: tuple[int, int, int] | None = None,
    grey: tuple[float, float] | None = None,
    reference: Any = None,
    std: bool = False,
    axes: Literal["voxel", "unit"] = "voxel",
    title: str | None = None,
) -> Figure:
    """Draw slices x-y, x-z and z-y of one or several volumes, one column per volume, on one grey scale.

    In x-y and x-z, x grows to the right and y or z downwards; in z-y, z grows to the right and y downwards. Index 0 is at the
    left and at the top, as in a printed array ``volume[z]``. All planes have one scale, so lengths can be compared.

    Parameters
    ----------
    volumes
        An array ``(nz, ny, nx)`` (NumPy, torch, or in a file: only the planes are read), a ``Reconstruction``, or a mapping
        from labels to these, all of one shape.
    at
        ``(z, y, x)``, the voxel that the planes run through; by default the middle, ``n // 2``.
    grey
        Values shown black and white. By default the range of the reference's planes, and without one that of all planes
        without the lowest and highest 0.5 percent. A pointed end of the colour bar means values beyond it; NaN and
        infinite values are red.
    reference
        A volume, shown first, or the label of one in ``volumes``: differences to it are shown as well, blue where a volume is
        lower and red where it is higher, all on one scale.
    std
        Also show the standard deviation of each volume that has one.
    axes
        ``voxel``: axes count voxels. ``unit``: axes are in the unit of the voxel size, from the centre of voxel 0. A scale bar
        is drawn for a ``Reconstruction`` with a voxel size.
    title
        Title of the figure.

    Returns
    -------
    Figure
        A matplotlib figure, 120 dots per inch.

    Raises
    ------
    InputError
        One line, for volumes that do not fit together, hold no numbers, or a plane that does not exist.
    """
    items = label_volumes(volumes)
    first = _reference(reference, items)
    if first is not None:
        items = [first, *(v for v in items if v is not first)]
    shape = items[0].array.shape
    voxel = common_voxel(items)
    frame = Frame((int(shape[0]), int(shape[1]), int(shape[2])), check_point(at, shape), voxel, _in_unit(axes, voxel))
    images = [cut_planes(v.array, frame.at, v.label) for v in items]
    low, high = _range(images[:1] if first is not None else images, first is None) if grey is None else _check_grey(grey)
    tiles: list[Tile | None] = [Tile(v.label, p) for v, p in zip(items, images, strict=True)]
    blocks = [Block("value per voxel", tiles, low, high, "gray")]
    if first is not None:
        blocks.append(_differences(items, images))
    if std:
        blocks.append(_deviations(items, frame.at))
    return draw_blocks(blocks, frame, title)


def _reference(reference: Any, items: list[PlotVolume]) -> PlotVolume | None:
    if reference is None:
        return None
    if isinstance(reference, str):
        for v in items:
            if v.label == reference:
                if len(items) == 1:
                    raise InputError(f"there is nothing to compare the reference {reference} with")
                return v
        raise InputError(f"no volume is called {reference!r}; there are {', '.join(v.label for v in items)}")
    other = to_plot_volume(reference, "reference")
    check_shape(other, items[0])
    return other


def _in_unit(axes: str, voxel: tuple[float, str] | None) -> bool:
    if axes not in ("voxel", "unit"):
        raise InputError(f"axes must be voxel or unit, got {axes!r}")
    if axes == "unit" and voxel is None:
        raise InputError("axes in a unit need a Reconstruction with a voxel size; arrays have none")
    return axes == "unit"


def _check_grey(grey: Any) -> tuple[float, float]:
    try:
        low, high = (float(v) for v in grey)
    except (TypeError, ValueError):
        raise InputError(f"grey must be two numbers, black and white, got {grey!r}") from None
    if not (np.isfinite([low, high]).all() and low < high):
        raise InputError(f"grey must be a lower and a higher number, got {low:g} and {high:g}")
    return low, high


def _finite(images: list[Planes]) -> Floats:
    values: Floats = np.concatenate([image.ravel() for p in images for image in p])
    return values[np.isfinite(values)]


def _range(images: list[Planes], clipped: bool) -> tuple[float, float]:
    values = _finite(images)
    low, high = np.percentile(values, (CLIPPED, 100 - CLIPPED)) if clipped else (values.min(), values.max())
    return (float(low), float(high)) if low < high else (float(low) - 0.5, float(low) + 0.5)


def _differences(items: list[PlotVolume], images: list[Planes]) -> Block:
    name = items[0].label
    tiles: list[Tile | None] = [None]
    for v, (xy, xz, zy) in zip(items[1:], images[1:], strict=True):
        minus = (xy - images[0][0], xz - images[0][1], zy - images[0][2])
        tiles.append(Tile(f"{v.label or 'volume'} − {name}", minus))
    values = np.abs(_finite([t.planes for t in tiles if t is not None]))
    limit = float(np.percentile(values, 100 - CLIPPED)) if values.size else 0.0
    limit = limit or 0.5
    return Block("difference", tiles, -limit, limit, "RdBu_r")


def _deviations(items: list[PlotVolume], at: tuple[int, int, int]) -> Block:
    tiles = [
        None if v.std is None else Tile(f"std of {v.label}".removesuffix(" of "), cut_planes(v.std, at, v.label)) for v in items
    ]
    known = [t.planes for t in tiles if t is not None]
    if not known:
        raise InputError("no volume shown has a standard deviation; leave std out")
    return Block("standard deviation", tiles, 0.0, _range(known, True)[1], "magma")
