"""ASTRA's 2-D CPU projectors, slice by slice in threads: for any size, with little memory."""

from __future__ import annotations

import weakref
from typing import Any, ClassVar

import astra
import astra.experimental  # direct_FP and direct_BP need it, and `import astra` does not import it
import numpy as np
import torch

from tomoprior.errors import BackendError
from tomoprior.geometry import FanGeometry, Geometry
from tomoprior.projector.backends import Cost, Kind

from ..thread_pool import thread_pool
from .geometry import fan_refusal, kernel_name, slice_geometries


class SlicewiseBackend:
    """One ASTRA projector per distinct centre, shared by the threads (ASTRA releases the interpreter's lock)."""

    name: ClassVar[str] = "astra-2d"
    preference: ClassVar[int] = 10
    matched: ClassVar[bool] = True

    def __init__(self, geometry: Geometry, kind: Kind, device: torch.device) -> None:
        self.geometry = geometry
        self._projector = [0] * geometry.shape[1]
        ids = []
        for rows in geometry.slice_groups():
            ids.append(astra.create_projector(kernel_name(geometry, kind), *slice_geometries(geometry, int(rows[0]))))
            for y in rows:
                self._projector[y] = ids[-1]
        # ASTRA's objects are numbers in a global table and must be freed explicitly
        self._finalizer = weakref.finalize(self, _delete_projectors, ids)

    @classmethod
    def cost(cls, geometry: Geometry, kind: Kind) -> Cost:
        """Return no cost: ASTRA computes the weights again in every product."""
        return Cost(0, 0.0)

    @classmethod
    def refusal(cls, geometry: Geometry, kind: Kind, device: torch.device, budget: int) -> str | None:
        """Refuse every device but the CPU, and what ASTRA cannot compute of a fan."""
        if device.type != "cpu":
            return "ASTRA's 2-D projectors run on the CPU"
        if kind == "linear" and isinstance(geometry, FanGeometry):
            return "ASTRA has no linear kernel for a fan; use kind line or strip"
        return fan_refusal(geometry, kind)

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """Project ``(batch, nz, ny, nx)`` to ``(batch, n_angles, ny, nu)``."""
        n, _, nu = self.geometry.range_shape
        return self._run(volumes, (n, nu), astra.projector.direct_FP)

    def adjoint(self, projections: torch.Tensor) -> torch.Tensor:
        """Back-project ``(batch, n_angles, ny, nu)`` to ``(batch, nz, ny, nx)``."""
        nz, _, nx = self.geometry.shape
        return self._run(projections, (nz, nx), astra.projector.direct_BP)

    def make_result(self, batch: int, rows: int, ny: int, columns: int) -> torch.Tensor:
        """Return a tensor ``(batch, rows, ny, columns)`` in the memory layout of the results, filled with NaN."""
        return torch.full((batch, ny, rows, columns), torch.nan, dtype=torch.float32).permute(0, 2, 1, 3)

    def _run(self, x: torch.Tensor, out: tuple[int, int], operation: Any) -> torch.Tensor:
        batch, _, ny, _ = x.shape
        source = x.permute(0, 2, 1, 3)
        # ASTRA can fail without an exception: unwritten values stay NaN
        made = self.make_result(batch, out[0], ny, out[1])
        result = made.permute(0, 2, 1, 3).numpy()

        def process_slice(index: tuple[int, int]) -> None:
            b, y = index
            image = np.require(source[b, y].numpy(), np.float32, ["C", "W"])
            operation(self._projector[y], image, out=result[b, y])
            if np.isnan(result[b, y, 0, 0]) and np.all(np.isfinite(image)):
                raise BackendError("ASTRA returned without a result")

        for _ in thread_pool().map(process_slice, np.ndindex(batch, ny)):
            pass
        return made


def _delete_projectors(ids: list[int]) -> None:
    astra.projector.delete(ids)
