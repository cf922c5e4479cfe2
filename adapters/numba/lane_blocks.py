"""Products with blocks of slices innermost, by ``lane_kernel``: for a fan, and where ``vectors`` has no instructions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.geometry import Geometry

from . import lane_kernel
from .rays import Rays, follow_rays
from .threads import count_threads, run_parts, split

#: Largest number of slices in a block: 16 floats fill one vector register, and a block's copy of the volume stays small.
LANES = 16
#: Bytes of the rows in a tile of an image: they stay in a core's second-level cache.
TILE_BYTES = 2**18


def prepare_rays(geometry: Geometry, y: int) -> list[Rays]:
    """Return the rays of slice ``y``."""
    return follow_rays(geometry, y)


def make_result(batch: int, rows: int, slices: int, columns: int) -> torch.Tensor:
    """Return an empty tensor ``(batch, rows, slices, columns)`` in the memory layout of the results."""
    return torch.empty(rows, columns, batch, slices, dtype=torch.float32).permute(2, 0, 3, 1)


def cut_blocks(count: int) -> Iterator[tuple[int, int]]:
    """Yield ``(begin, end)``: as many slices as ``count_lanes`` fills with at most a quarter of padding."""
    begin = 0
    while begin < count:
        end = min(count, begin + count_lanes(count - begin))
        yield begin, end
        begin = end


def count_lanes(slices: int) -> int:
    """Return a power of two: the lanes of the first block of so many slices, padded if that wastes at most a quarter."""
    lanes = min(LANES, 1 << (slices - 1).bit_length())
    return lanes // 2 if 4 * (lanes - slices) > lanes else lanes


def project(volume: torch.Tensor, rays: list[Rays], out: torch.Tensor) -> None:
    """Write the projections ``(n_angles, slices, nu)`` of ``(nz, slices, nx)`` to ``out``."""
    nz, count, nx = volume.shape
    n, _, nu = out.shape
    lanes = count_lanes(count)
    total = np.zeros((n, nu, lanes), np.float32)
    block = volume.permute(0, 2, 1)
    for r in rays:
        image = _make_image(nz, nx, lanes, transposed=r.transposed)
        _inside(image)[..., :count].copy_(block.transpose(0, 1) if r.transposed else block)
        run_parts(
            lambda views, r=r, image=image: lane_kernel.project(
                image, total, r.start, r.slope, r.length, views, _tile(image), (np.int8(0),) * lanes
            ),
            [(part,) for part in np.array_split(r.views, count_threads()) if len(part)],
        )
    out.copy_(torch.from_numpy(total)[..., :count].permute(0, 2, 1))


def back_project(projections: torch.Tensor, rays: list[Rays], out: torch.Tensor) -> None:
    """Write the back-projection ``(nz, slices, nx)`` of ``(n_angles, slices, nu)`` to ``out``."""
    n, count, nu = projections.shape
    nz, _, nx = out.shape
    lanes = count_lanes(count)
    data = torch.zeros(n, nu, lanes, dtype=torch.float32)
    data[..., :count].copy_(projections.permute(0, 2, 1))
    for number, r in enumerate(rays):
        image = _make_image(nz, nx, lanes, transposed=r.transposed)
        run_parts(
            lambda begin, end, r=r, image=image: lane_kernel.back_project(
                data.numpy(), image, r.start, r.slope, r.length, r.views, begin, end, _tile(image), (np.int8(0),) * lanes
            ),
            split(image.shape[0], count_threads()),
        )
        inside = _inside(image)[..., :count]
        part = (inside.transpose(0, 1) if r.transposed else inside).permute(0, 2, 1)
        out.copy_(part) if number == 0 else out.add_(part)


def _make_image(nz: int, nx: int, lanes: int, *, transposed: bool) -> NDArray[np.float32]:
    rows, columns = (nx, nz) if transposed else (nz, nx)
    return np.zeros((rows, columns + lane_kernel.BEFORE + lane_kernel.BEYOND, lanes), np.float32)


def _inside(image: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(image)[:, lane_kernel.BEFORE : -lane_kernel.BEYOND]


def _tile(image: NDArray[np.float32]) -> int:
    _, width, lanes = image.shape
    return int(max(1, TILE_BYTES // (4 * width * lanes)))
