"""A volume in tiles of the size that the network was trained on: where they lie, and how their predictions are blended."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

Box = tuple[slice, slice, slice]


def starts(length: int, tile: int, overlap: int, phase: float = 0.0) -> list[int]:
    """First voxels of as few tiles as cover ``length`` voxels with at least ``overlap`` shared by neighbours.

    ``phase`` from 0 to 1 moves the inner ones as far as that leaves room for; the first and the last tile reach the volume's
    ends. A volume shorter than a tile has one, at 0.
    """
    if length <= tile:
        return [0]
    stride = tile - overlap
    count = math.ceil((length - overlap) / stride)
    room = count * stride + overlap - length
    moved = [number * stride - round(phase * room) for number in range(1, count - 1)]
    return [0, *moved, length - tile]


def window(tile: int, ramp: int) -> torch.Tensor:
    """Weights of a tile along one axis: 1, falling linearly over ``ramp`` voxels to either end, never 0."""
    at = torch.arange(tile, dtype=torch.float32) + 0.5
    near = torch.minimum(at, tile - at)
    return (near / max(ramp, 1)).clamp(max=1.0)


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
    """The weighted mean of predictions for overlapping tiles.

    Parameters
    ----------
    predict
        Takes up to ``batch`` boxes, all of ``tile``'s size, and gives ``(boxes, ..., z, y, x)``.
    shape
        Of the volume, no axis shorter than the tile's.
    overlap, depth_overlap
        Voxels that neighbours share along y and x, and along z.
    phase
        Where the borders lie along y and x.

    Returns
    -------
    Volume of shape ``(..., *shape)``: a prediction that is right for every tile comes out as it is, up to rounding.
    """
    nz, ny, nx = tile
    boxes = [
        (slice(z, z + nz), slice(y, y + ny), slice(x, x + nx))
        for z in starts(shape[0], nz, depth_overlap)
        for y in starts(shape[1], ny, overlap, phase[0])
        for x in starts(shape[2], nx, overlap, phase[1])
    ]
    w = (window(ny, overlap)[:, None] * window(nx, overlap)[None, :]).to(device)
    if shape[0] > nz:
        w = window(nz, depth_overlap).to(device)[:, None, None] * w
    total = torch.zeros(shape if shape[0] > nz else shape[1:], device=device)
    for box in boxes:
        total[box[-total.ndim :]] += w
    out: torch.Tensor | None = None
    for first in range(0, len(boxes), batch):
        some = boxes[first : first + batch]
        found = predict(some)
        if out is None:
            out = torch.zeros(*found.shape[1:-3], *shape, device=device)
        for box, value in zip(some, found, strict=True):
            out[(..., *box)] += value * (w / total[box[-total.ndim :]])
    assert out is not None
    return out
