"""An OME-NGFF image: the volume in shards, and smaller copies of it for viewers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int]

#: Edges of a chunk, which is what a reader unpacks, and chunks per shard, which is one file: 512 KiB and 32 MiB of float32.
#: Shards are thin in y, the axis along which slabs are cut.
CHUNK, PER_SHARD = (64, 32, 64), (8, 1, 8)

#: Levels are added until no axis is longer than this.
SMALLEST = 256


def shapes(shape: Shape) -> list[Shape]:
    """Return the shapes of all levels, the full resolution first; each level halves the previous one, rounded up."""
    levels = [shape]
    while max(levels[-1]) > SMALLEST:
        z, y, x = levels[-1]
        levels.append((-(-z // 2), -(-y // 2), -(-x // 2)))
    return levels


def layout(shape: Shape, slab: int | None = None) -> tuple[Shape, Shape]:
    """Return chunk and shard of a level. With ``slab`` no shard crosses a border between slabs of so many rows."""
    chunk = [min(n, c) for n, c in zip(shape, CHUNK, strict=True)]
    if slab is not None and slab < shape[1]:
        chunk[1] = math.gcd(chunk[1], slab)
    shard = [c * min(-(-n // c), most) for n, c, most in zip(shape, chunk, PER_SHARD, strict=True)]
    return (chunk[0], chunk[1], chunk[2]), (shard[0], shard[1], shard[2])


def metadata(name: str, shape: Shape, voxel_size: float, unit: str, origin: tuple[float, float, float]) -> dict[str, Any]:
    """Return the ``ome`` attribute of the group, version 0.5: axes, and scale and position of every level.

    A voxel of a level is the mean of two along each axis of the previous level; its centre is half a voxel of that level
    farther along each axis.
    """
    axes = [{"name": n, "type": "space", **({} if unit == "pixel" else {"unit": unit})} for n in "zyx"]
    datasets = []
    for level in range(len(shapes(shape))):
        factor = 2**level
        place = [v + (factor - 1) / 2 * voxel_size for v in origin]
        steps = [{"type": "scale", "scale": [voxel_size * factor] * 3}, {"type": "translation", "translation": place}]
        datasets.append({"path": str(level), "coordinateTransformations": steps})
    return {"version": "0.5", "multiscales": [{"name": name, "type": "mean", "axes": axes, "datasets": datasets}]}


def halve(values: NDArray[Any]) -> NDArray[Any]:
    """Return the means over 2 x 2 x 2 voxels, at odd ends over fewer; whole numbers are rounded."""
    whole = values.dtype.kind in "iu"
    out: Any = values.astype(np.float64 if whole and values.dtype.itemsize > 2 else np.float32, copy=False)
    for axis, n in enumerate(values.shape):
        before = (slice(None),) * axis
        pairs = (*before, slice(0, n // 2))
        odd, out = out[(*before, slice(1, None, 2))], out[(*before, slice(0, None, 2))].copy()
        out[pairs] += odd
        out[pairs] /= 2
    return np.asarray(np.rint(out) if whole else out).astype(values.dtype)


def blocks(shape: Shape, edges: Shape) -> Iterator[tuple[slice, ...]]:
    """Yield boxes of these edges that fill a volume."""
    starts = (range(0, n, edge) for n, edge in zip(shape, edges, strict=True))
    for at in product(*starts):
        yield tuple(slice(a, min(a + edge, n)) for a, edge, n in zip(at, edges, shape, strict=True))


def fill(source: Any, target: Any) -> None:
    """Write a level from the previous one; in memory are a shard, and of the previous level what one layer of chunks takes."""
    chunk, shard = layout(target.shape)
    for box in blocks(target.shape, shard):
        values = np.empty([s.stop - s.start for s in box], target.dtype)
        for z in range(0, len(values), chunk[0]):  # even numbers of slices, so that the means are those of the whole
            part = (slice(box[0].start + z, min(box[0].start + z + chunk[0], box[0].stop)), *box[1:])
            above = tuple(slice(2 * s.start, min(2 * s.stop, n)) for s, n in zip(part, source.shape, strict=True))
            values[z : z + chunk[0]] = halve(source[above])
        target[box] = values
