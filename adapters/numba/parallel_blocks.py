"""Products of a parallel beam with rows of pixels and rays innermost, by ``parallel_kernel``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tomoprior.geometry import Geometry

from . import copying
from . import parallel_kernel as kernel
from .rays import follow_rays
from .threads import count_threads, run_parts, split

#: Slices whose copies exist at a time, and slices for which places and weights are computed once.
BLOCK, GROUP = 16, 8
#: Bytes of the rows of a group in a tile of an image: they stay in a core's second-level cache.
TILE_BYTES = 2**18
#: Floats in 64 bytes, a cache line and the largest register.
_ALIGNMENT = 16


@dataclass(frozen=True)
class Bundle:
    """Rays that run closer to one axis of the slice, ordered within an angle so that their crossings grow.

    Attributes
    ----------
    views
        Indices of the angles.
    falling
        True for angles whose crossings fall with the pixel of the detector.
    places
        Crossings with the first row, with columns far away before and after, as ``parallel_kernel`` takes them.
    slope, apart, length
        Step of the crossings from row to row, their distance, and the length of a row's crossing, one for each angle.
    transposed
        True if the rows that the rays cross are the columns of the slice.
    """

    views: NDArray[np.int64]
    falling: NDArray[np.bool_]
    places: Tensor
    slope: NDArray[np.float32]
    apart: NDArray[np.float32]
    length: NDArray[np.float32]
    transposed: bool


def prepare_rays(geometry: Geometry, y: int) -> list[Bundle]:
    """Return the rays of slice ``y``, in one or two bundles, those across the columns first."""
    nu = geometry.detector[1]
    bundles = []
    for rays in reversed(follow_rays(geometry, y)):
        start = rays.start[rays.views]
        falls = start[:, -1] < start[:, 0]
        start[falls] = start[falls, ::-1]
        places = make_rows(len(start), 1, nu)[:, 0]
        places[:, : kernel.BEFORE] = -kernel.FAR
        places[:, kernel.BEFORE + nu :] = kernel.FAR
        places[:, kernel.BEFORE : kernel.BEFORE + nu] = torch.from_numpy(start)
        apart = np.maximum(1, (start[:, -1] - start[:, 0]) / np.float32(max(1, nu - 1)))
        slope, length = (values[rays.views, 0] for values in (rays.slope, rays.length))
        bundles.append(Bundle(rays.views, falls, places, slope, apart, length, rays.transposed))
    return bundles


def make_result(batch: int, rows: int, slices: int, columns: int) -> Tensor:
    """Return an empty tensor ``(batch, rows, slices, columns)`` in the memory layout of the results."""
    return torch.empty(batch, rows, slices, columns, dtype=torch.float32)


def cut_blocks(count: int) -> Iterator[tuple[int, int]]:
    """Yield ``(begin, end)`` of blocks of slices: two groups of them, or one where two would be most of the volume."""
    block = BLOCK if count >= 2 * BLOCK else GROUP
    return ((begin, min(count, begin + block)) for begin in range(0, count, block))


def project(volume: Tensor, bundles: list[Bundle], out: Tensor) -> None:
    """Write the projections ``(n_angles, slices, nu)`` of ``(nz, slices, nx)`` to ``out``."""
    for bundle in bundles:
        _project_bundle(volume, bundle, out)


def _project_bundle(volume: Tensor, b: Bundle, out: Tensor) -> None:
    source = volume.transpose(0, 2) if b.transposed else volume
    rows, slices, columns = source.shape
    nu = out.shape[2]
    image, rays = make_rows(rows, slices, columns), make_rows(len(b.views), slices, nu)
    inside = image[..., kernel.BEFORE : kernel.BEFORE + columns]

    def read(begin: int, end: int) -> None:
        if b.transposed:
            copying.copy_transposed(source[begin:end].numpy(), inside[begin:end].numpy())
        else:
            inside[begin:end] = source[begin:end]

    def follow(begin: int, end: int, first: int, last: int) -> None:
        kernel.project(
            image.numpy(), rays.numpy(), b.places[begin:end].clone().numpy(), b.slope, b.apart, nu, columns,
            begin, end, first, last, tile_rows(image, last - first),
        )  # fmt: skip
        copying.write_rays(rays.numpy(), out.numpy(), b.views, b.falling, b.length, begin, end, first, last)

    run_parts(read, split(rows, count_threads()))
    run_parts(follow, cut_parts(len(b.views), slices))


def back_project(projections: Tensor, bundles: list[Bundle], out: Tensor) -> None:
    """Write the back-projection ``(nz, slices, nx)`` of ``(n_angles, slices, nu)`` to ``out``."""
    for number, bundle in enumerate(bundles):
        _back_project_bundle(projections, bundle, out, add=number > 0)


def _back_project_bundle(projections: Tensor, b: Bundle, out: Tensor, *, add: bool) -> None:
    """Write the back-projection of a bundle to ``out``, or add it, which is for rays along z only."""
    target = out.transpose(0, 2) if b.transposed else out
    rows, slices, columns = target.shape
    nu = projections.shape[2]
    image, rays = make_rows(rows, slices, columns), make_rows(len(b.views), slices, nu)
    inside = image[..., kernel.BEFORE : kernel.BEFORE + columns]

    def read(begin: int, end: int) -> None:
        copying.read_rays(projections.numpy(), rays.numpy(), b.views, b.falling, b.length, begin, end)

    def follow(begin: int, end: int, first: int, last: int) -> None:
        kernel.back_project(
            rays.numpy(), image.numpy(), b.places.clone().numpy(), b.slope, b.apart, nu, columns,
            begin, end, first, last, tile_rows(image, last - first),
        )  # fmt: skip
        part = slice(begin, end), slice(first, last)
        if b.transposed:
            copying.copy_transposed(inside[part].transpose(0, 2).numpy(), target[part].transpose(0, 2).numpy())
        elif add:
            target[part].add_(inside[part])
        else:
            target[part] = inside[part]

    run_parts(read, split(len(b.views), count_threads()))
    run_parts(follow, cut_parts(rows, slices))


def cut_parts(things: int, slices: int) -> list[tuple[int, int, int, int]]:
    """Return parts of angles or rows for groups of slices: enough for all threads."""
    groups = split(slices, -(-slices // GROUP))
    parts = split(things, -(-count_threads() // len(groups)))
    return [(*part, *group) for group in groups for part in parts]


def make_rows(rows: int, slices: int, columns: int) -> Tensor:
    """Return zeros ``(rows, slices, columns)`` with the padding of the kernels, each row aligned (torch aligns the first)."""
    return torch.zeros(rows, slices, -(-(columns + kernel.PAD) // _ALIGNMENT) * _ALIGNMENT, dtype=torch.float32)


def tile_rows(image: Tensor, slices: int) -> int:
    """Return the rows of an image that stay in the cache for a group of slices."""
    return int(max(1, TILE_BYTES // (4 * slices * image.shape[2])))
