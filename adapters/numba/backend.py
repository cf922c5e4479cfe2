"""The projector ``numba``: no stored matrix, all slices at once, any size; on the CPU."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.geometry import FanGeometry, Geometry
from tomoprior.projector.backends import Cost, Kind

from ..thread_pool import thread_pool

#: Largest number of slices in a block: 16 floats fill one vector register, and a block's copy of the volume stays small.
LANES = 16
#: Bytes of the rows in a tile of an image: they stay in a core's second-level cache.
TILE_BYTES = 2**18


@dataclass(frozen=True)
class Rays:
    """Rays that run closer to one axis of the slice, in the form that ``kernel`` takes.

    Attributes
    ----------
    views
        Indices of the angles.
    start, slope, length
        Crossing with the first row, ``(n_angles, nu)``; its step from row to row and the length of a row's crossing,
        ``(n_angles, 1)``, or ``(n_angles, nu)`` for a fan. Rays that run closer to the other axis are placed outside.
    transposed
        True if the rows that the rays cross are the columns of the slice.
    """

    views: NDArray[np.int64]
    start: NDArray[np.float32]
    slope: NDArray[np.float32]
    length: NDArray[np.float32]
    transposed: bool


class NumbaBackend:
    """ASTRA's linear kernel, computed anew in every product; the adjoint is the exact transpose.

    In addition to volume and projections it holds copies of 16 slices of both. The bits of a slice's result depend neither on
    the other slices that are projected with it nor on the number of threads.
    """

    name: ClassVar[str] = "numba"
    preference: ClassVar[int] = 15
    matched: ClassVar[bool] = True

    def __init__(self, geometry: Geometry, kind: Kind, device: torch.device) -> None:
        self.geometry = geometry
        self._groups = geometry.slice_groups()
        # a table for each of a thousand centres would exceed the volume: then each is computed when its slices are projected
        self._shared_rays = follow_rays(geometry, 0) if len(self._groups) == 1 else None

    @classmethod
    def cost(cls, geometry: Geometry, kind: Kind) -> Cost:
        """Return the bytes of the rays' places and of a block's copies, and the time to place the rays."""
        nz, ny, nx = geometry.shape
        n, _, nu = geometry.range_shape
        lanes = min(LANES, ny)
        table = (24 if isinstance(geometry, FanGeometry) else 8) * n * nu
        return Cost(table + 4 * lanes * (2 * (nz + 3) * (nx + 3) + n * nu), 0.01)

    @classmethod
    def refusal(cls, geometry: Geometry, kind: Kind, device: torch.device, budget: int) -> str | None:
        """Refuse every device but the CPU, and every kernel but the linear one."""
        if device.type != "cpu":
            return "it runs on the CPU"
        if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
            return "NUMBA_DISABLE_JIT is set, and it has to be compiled"
        return None if kind == "linear" else "it has the linear kernel only"

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """Project ``(batch, nz, ny, nx)`` to ``(batch, n_angles, ny, nu)``."""
        from . import kernel

        n, _, nu = self.geometry.range_shape
        nz, _, nx = self.geometry.shape

        def project(block: torch.Tensor, rays: list[Rays]) -> torch.Tensor:
            lanes = block.shape[-1]
            out = np.zeros((n, nu, lanes), np.float32)
            for r in rays:
                image = _image(nz, nx, lanes, transposed=r.transposed)
                _inside(image).copy_(block.transpose(0, 1) if r.transposed else block)
                _run(
                    lambda views, r=r, image=image: kernel.project(
                        image, out, r.start, r.slope, r.length, views, _tile(image), (np.int8(0),) * lanes
                    ),
                    [(part,) for part in np.array_split(r.views, _threads()) if len(part)],
                )
            return torch.from_numpy(out)

        return self._map(volumes, (n, nu), project)

    def adjoint(self, projections: torch.Tensor) -> torch.Tensor:
        """Back-project ``(batch, n_angles, ny, nu)`` to ``(batch, nz, ny, nx)``."""
        from . import kernel

        nz, _, nx = self.geometry.shape

        def back_project(block: torch.Tensor, rays: list[Rays]) -> torch.Tensor:
            lanes = block.shape[-1]
            data = block.contiguous().numpy()
            total: torch.Tensor | None = None
            for r in rays:
                image = _image(nz, nx, lanes, transposed=r.transposed)
                bounds = np.linspace(0, image.shape[0], _threads() + 1).astype(int)
                _run(
                    lambda begin, end, r=r, image=image: kernel.back_project(
                        data, image, r.start, r.slope, r.length, r.views, begin, end, _tile(image), (np.int8(0),) * lanes
                    ),
                    list(pairwise(bounds)),
                )
                part = _inside(image).transpose(0, 1) if r.transposed else _inside(image)
                total = part if total is None else total.add_(part)
            assert total is not None
            return total

        return self._map(projections, (nz, nx), back_project)

    def _map(
        self, x: torch.Tensor, out: tuple[int, int], operation: Callable[[torch.Tensor, list[Rays]], torch.Tensor]
    ) -> torch.Tensor:
        """Apply ``operation`` to blocks of slices, laid out as ``(row, column, slice)``."""
        batch, _, ny, _ = x.shape
        source = x.permute(1, 3, 0, 2)
        result = x.new_empty(*out, batch, ny)
        for slices in self._groups:
            rays = self._shared_rays or follow_rays(self.geometry, int(slices[0]))
            for b in range(batch):
                for begin, end, lanes in cut_blocks(len(slices)):
                    index = torch.from_numpy(slices[begin:end])
                    block = source[:, :, b, index] if len(self._groups) > 1 else source[:, :, b, begin:end]
                    if lanes > end - begin:
                        block = torch.nn.functional.pad(block, (0, lanes - end + begin))
                    found = operation(block, rays)[..., : end - begin]
                    if len(self._groups) > 1:
                        result[:, :, b, index] = found
                    else:
                        result[:, :, b, begin:end] = found
        return result.permute(2, 0, 3, 1)


def follow_rays(geometry: Geometry, y: int) -> list[Rays]:
    """Return the rays of slice ``y``, placed in single precision as by ASTRA: those closer to z and to x are separate."""
    nz, _, nx = geometry.shape
    F = np.float32
    x, y_up, ray_x, ray_y = (_fan_rays if isinstance(geometry, FanGeometry) else _parallel_rays)(geometry, y)
    first_x, first_y = F(0.5 - nx / 2), F(nz / 2 - 0.5)
    steep = np.abs(ray_x) < np.abs(ray_y)
    found = []
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for transposed in (False, True):
            along, across = (ray_x, ray_y) if transposed else (ray_y, ray_x)
            slope = across / along
            length = np.sqrt(along * along + across * across) / np.abs(along)
            start = -(y_up + (first_x - x) * slope - first_y) if transposed else x + (first_y - y_up) * slope - first_x
            belongs = steep != transposed
            views = np.flatnonzero(belongs.any(1))
            if len(views):
                values = ((start, -2), (slope, 0), (length, 0))
                places, slopes, lengths = (np.ascontiguousarray(np.where(belongs, *v), F) for v in values)
                found.append(Rays(views, places, slopes, lengths, transposed))
    return found


def _parallel_rays(geometry: Geometry, y: int) -> tuple[NDArray[Any], ...]:
    """Return a point (x, y) of each ray, ``(n_angles, nu)``, and its direction, ``(n_angles, 1)``, in ASTRA's 2-D axes.

    There, x points to the right and y up, against the rows of the image.
    """
    F = np.float32
    nu = geometry.detector[1]
    cos, sin = np.cos(geometry.angles), np.sin(geometry.angles)
    offset = geometry.offsets(y)
    ray_x, ray_y, step_x, step_y = (v.astype(F)[:, None] for v in (sin, -cos, cos, sin))
    place = np.arange(nu, dtype=F) + F(0.5)
    x = (offset * cos - 0.5 * nu * cos).astype(F)[:, None] + place * step_x
    y_up = (offset * sin - 0.5 * nu * sin).astype(F)[:, None] + place * step_y
    return x, y_up, ray_x, ray_y


def _fan_rays(geometry: Geometry, y: int) -> tuple[NDArray[Any], ...]:
    """Return the same for a fan, in which each ray has its own direction: ``(n_angles, nu)``."""
    index = np.tile(np.arange(geometry.detector[1]), (geometry.n_angles, 1))
    phi, u = geometry.parallel_coordinates(index, y)
    cos, sin = np.cos(phi), np.sin(phi)
    return u * cos, u * sin, sin, -cos


def cut_blocks(count: int) -> Iterator[tuple[int, int, int]]:
    """Yield blocks of slices ``(begin, end, lanes)``: powers of two, the last one padded if that wastes at most a quarter."""
    begin = 0
    while begin < count:
        left = count - begin
        lanes = min(LANES, 1 << (left - 1).bit_length())
        if 4 * (lanes - left) > lanes:
            lanes //= 2
        end = min(count, begin + lanes)
        yield begin, end, lanes
        begin = end


def _image(nz: int, nx: int, lanes: int, *, transposed: bool) -> NDArray[np.float32]:
    rows, columns = (nx, nz) if transposed else (nz, nx)
    return np.zeros((rows, columns + 3, lanes), np.float32)


def _inside(image: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(image)[:, 1:-2]


def _tile(image: NDArray[np.float32]) -> int:
    _, width, lanes = image.shape
    return int(max(1, TILE_BYTES // (4 * width * lanes)))


def _threads() -> int:
    return torch.get_num_threads()


def _run(task: Callable[..., Any], arguments: list[tuple[Any, ...]]) -> None:
    if len(arguments) == 1:
        task(*arguments[0])
        return
    for future in [thread_pool().submit(task, *a) for a in arguments]:
        future.result()
