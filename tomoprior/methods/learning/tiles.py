"""Tiles of the size that a network was trained on: their places in a volume, and the blend of their predictions."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

Box = tuple[slice, slice, slice]


def mirror_indices(n: int, length: int, device: torch.device, before: int = 0) -> torch.Tensor:
    """Return indices that continue an axis of ``n`` voxels by its mirror image.

    They are ``length`` in number; ``before`` of them lie ahead of the axis.
    """
    at = (torch.arange(length, device=device) - before) % (2 * n)
    return torch.where(at < n, at, 2 * n - 1 - at)


def tile_starts(length: int, tile: int, overlap: int, phase: float = 0.0) -> list[int]:
    """Return the first voxels of as few tiles as cover ``length`` voxels; neighbours share at least ``overlap``.

    ``phase`` from 0 to 1 moves the inner tiles as far as the overlap allows; the first and the last tile reach the ends of the
    volume. A volume shorter than a tile has one tile, at 0.
    """
    if length <= tile:
        return [0]
    stride = tile - overlap
    count = math.ceil((length - overlap) / stride)
    spare = count * stride + overlap - length
    moved = [number * stride - round(phase * spare) for number in range(1, count - 1)]
    return [0, *moved, length - tile]


def tile_window(tile: int, ramp: int) -> torch.Tensor:
    """Return weights of a tile along one axis: 1, falling linearly over ``ramp`` voxels to either end, never 0."""
    at = torch.arange(tile, dtype=torch.float32) + 0.5
    near = torch.minimum(at, tile - at)
    return (near / max(ramp, 1)).clamp(max=1.0)


def axis_tiles(length: int, tile: int, overlap: int, like: torch.Tensor) -> list[tuple[slice, torch.Tensor]]:
    """Return tiles along one axis with their shares of each voxel, whose sum over the tiles is 1.

    Tiles of a volume lie on a grid: the share of a tile in a voxel is the product over the three axes.
    """
    boxes = [slice(at, at + tile) for at in tile_starts(length, tile, overlap)]
    window = tile_window(tile, overlap).to(like)
    total = like.new_zeros(length)
    for box in boxes:
        total[box] += window
    return [(box, window / total[box]) for box in boxes]


def blend(
    predict: Callable[[list[Box]], torch.Tensor],
    shape: tuple[int, int, int],
    tile: tuple[int, int, int],
    overlap: int,
    phase: tuple[float, float] = (0.0, 0.0),
    batch: int = 4,
    device: torch.device | str = "cpu",
    depth_overlap: int = 8,
) -> torch.Tensor:
    """Return the weighted mean of predictions for overlapping tiles.

    ``wedge`` blends with the separable shares of ``axis_tiles`` instead, which hold one axis each where this function holds a
    plane or a volume of weights. The two round differently, so each method keeps its own: results stay the same bit for bit.

    Parameters
    ----------
    predict
        Takes up to ``batch`` boxes, all of the size ``tile``, and returns ``(boxes, ..., z, y, x)``.
    shape
        Shape of the volume; no axis is shorter than that of the tile.
    overlap, depth_overlap
        Voxels that neighbours share along y and x, and along z.
    phase
        Place of the borders along y and x; see ``tile_starts``.

    Returns
    -------
    Volume of shape ``(..., *shape)``. A prediction that is right for every tile is returned unchanged, up to rounding.
    """
    nz, ny, nx = tile
    boxes = [
        (slice(z, z + nz), slice(y, y + ny), slice(x, x + nx))
        for z in tile_starts(shape[0], nz, depth_overlap)
        for y in tile_starts(shape[1], ny, overlap, phase[0])
        for x in tile_starts(shape[2], nx, overlap, phase[1])
    ]
    w = (tile_window(ny, overlap)[:, None] * tile_window(nx, overlap)[None, :]).to(device)
    if shape[0] > nz:
        w = tile_window(nz, depth_overlap).to(device)[:, None, None] * w
    total = torch.zeros(shape if shape[0] > nz else shape[1:], device=device)
    for box in boxes:
        total[box[-total.ndim :]] += w
    out: torch.Tensor | None = None
    for first in range(0, len(boxes), batch):
        some = boxes[first : first + batch]
        predictions = predict(some)
        if out is None:
            out = torch.zeros(*predictions.shape[1:-3], *shape, device=device)
        for box, prediction in zip(some, predictions, strict=True):
            out[(..., *box)] += prediction * (w / total[box[-total.ndim :]])
    assert out is not None
    return out
