"""The projector ``numba``: no stored matrix, all slices at once, any size; on the CPU."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

import torch

from tomoprior.geometry import FanGeometry, Geometry
from tomoprior.projector.backends import Cost, Kind

#: Slices whose copies exist at a time, and columns of zeros around an image, at most.
BLOCK, PAD = 16, 112


class NumbaBackend:
    """ASTRA's linear kernel, computed anew in every product; the adjoint is the exact transpose.

    In addition to volume and projections it holds copies of at most 16 slices of both. The bits of a slice's result depend
    neither on the other slices that are projected with it nor on the number of threads.
    """

    name: ClassVar[str] = "numba"
    preference: ClassVar[int] = 15
    matched: ClassVar[bool] = True

    def __init__(self, geometry: Geometry, kind: Kind, device: torch.device) -> None:
        self.geometry = geometry
        self._groups = geometry.slice_groups()
        self._blocks = _choose_blocks(geometry)
        # a table for each of a thousand centres would exceed the volume: then each is computed when its slices are projected
        self._shared_rays = self._blocks.prepare_rays(geometry, 0) if len(self._groups) == 1 else None

    @classmethod
    def cost(cls, geometry: Geometry, kind: Kind) -> Cost:
        """Return the bytes of the rays' places and of a block's copies, and the time to place the rays."""
        nz, ny, nx = geometry.shape
        n, _, nu = geometry.range_shape
        fan = isinstance(geometry, FanGeometry)
        if fan or not cls.can_interpolate():
            images, block = 2, min(BLOCK, ny)
        else:  # pixels innermost: one image at a time, and of fewer slices where 16 are most of the volume
            images, block = 1, min(BLOCK if ny >= 2 * BLOCK else BLOCK // 2, ny)
        table = (24 if fan else 16) * n * nu
        return Cost(table + 4 * block * (images * (nz + PAD) * (nx + PAD) + n * (nu + PAD)), 0.01)

    @classmethod
    def refusal(cls, geometry: Geometry, kind: Kind, device: torch.device, budget: int) -> str | None:
        """Refuse every device but the CPU, and every kernel but the linear one."""
        if device.type != "cpu":
            return "it runs on the CPU"
        if _jit_is_disabled():
            return "NUMBA_DISABLE_JIT is set, and it has to be compiled"
        return None if kind == "linear" else "it has the linear kernel only"

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """Project ``(batch, nz, ny, nx)`` to ``(batch, n_angles, ny, nu)``."""
        n, _, nu = self.geometry.range_shape
        return self._map(volumes, (n, nu), self._blocks.project)

    def adjoint(self, projections: torch.Tensor) -> torch.Tensor:
        """Back-project ``(batch, n_angles, ny, nu)`` to ``(batch, nz, ny, nx)``."""
        nz, _, nx = self.geometry.shape
        return self._map(projections, (nz, nx), self._blocks.back_project)

    @classmethod
    def interpolate(cls, projections: torch.Tensor, geometry: Geometry) -> torch.Tensor | None:
        """Return the voxel-driven back-projection, ``(nz, ny, nx)`` from ``(n_angles, ny, nu)``; None where it cannot run."""
        if projections.device.type != "cpu" or not cls.can_interpolate():
            return None
        from . import voxel_blocks

        return voxel_blocks.interpolate(projections, geometry)

    @staticmethod
    def can_interpolate() -> bool:
        """Return whether the compiled back-projection runs on this processor."""
        from . import vectors

        return bool(vectors.WIDTH) and not _jit_is_disabled()

    def make_result(self, batch: int, rows: int, ny: int, columns: int) -> torch.Tensor:
        """Return an empty tensor ``(batch, rows, ny, columns)`` in the memory layout of the results."""
        result: torch.Tensor = self._blocks.make_result(batch, rows, ny, columns)
        return result

    def _map(self, x: torch.Tensor, out: tuple[int, int], operation: Callable[..., None]) -> torch.Tensor:
        """Apply ``operation`` to blocks of slices, ``(row, slice, column)``."""
        batch, _, ny, _ = x.shape
        result = self.make_result(batch, out[0], ny, out[1])
        for slices in self._groups:
            rays = self._shared_rays or self._blocks.prepare_rays(self.geometry, int(slices[0]))
            for begin, end in self._blocks.cut_blocks(len(slices)):
                rows = slice(begin, end) if len(self._groups) == 1 else torch.from_numpy(slices[begin:end])
                for b in range(batch):
                    if isinstance(rows, slice):
                        operation(x[b, :, rows], rays, result[b, :, rows])
                    else:
                        part = result.new_empty(out[0], end - begin, out[1])
                        operation(x[b, :, rows], rays, part)
                        result[b, :, rows] = part
        return result


def _jit_is_disabled() -> bool:
    return os.environ.get("NUMBA_DISABLE_JIT", "0") != "0"


def _choose_blocks(geometry: Geometry) -> Any:
    """Return the module with the products of a geometry; they are imported, and compiled, at the first product of a process."""
    from . import vectors

    if vectors.WIDTH and not isinstance(geometry, FanGeometry):
        from . import parallel_blocks

        return parallel_blocks
    from . import lane_blocks

    return lane_blocks
