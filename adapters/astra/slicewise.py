"""ASTRA's 2-D CPU projectors, slice by slice in threads: hardly any memory of its own, any size."""

from __future__ import annotations

import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import astra
import astra.experimental  # direct_FP and direct_BP need it, and `import astra` does not load it
import numpy as np
import torch

from tomoprior.errors import BackendError
from tomoprior.geometry import Geometry
from tomoprior.projector.backends import Cost, Kind

from .geometry import slice_geometries


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
            ids.append(astra.create_projector(kind, *slice_geometries(geometry, int(rows[0]))))
            for y in rows:
                self._projector[y] = ids[-1]
        # ASTRA's objects are numbers in a global table, which nobody else empties
        self._finalizer = weakref.finalize(self, _free, ids)

    @classmethod
    def cost(cls, geometry: Geometry, kind: Kind) -> Cost:
        """Next to nothing: ASTRA computes the weights anew in every product."""
        return Cost(0, 0.0)

    @classmethod
    def refusal(cls, geometry: Geometry, kind: Kind, device: torch.device, budget: int) -> str | None:
        """CPU only."""
        return None if device.type == "cpu" else "ASTRA's 2-D projectors run on the CPU"

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """``(batch, nz, ny, nx)`` to ``(batch, n_angles, ny, nu)``."""
        n, _, nu = self.geometry.range_shape
        return self._run(volumes, (n, nu), astra.projector.direct_FP)

    def adjoint(self, projections: torch.Tensor) -> torch.Tensor:
        """``(batch, n_angles, ny, nu)`` to ``(batch, nz, ny, nx)``."""
        nz, _, nx = self.geometry.shape
        return self._run(projections, (nz, nx), astra.projector.direct_BP)

    def _run(self, x: torch.Tensor, out: tuple[int, int], operation: Any) -> torch.Tensor:
        batch, _, ny, _ = x.shape
        source = x.permute(0, 2, 1, 3)
        # ASTRA can fail without raising: what it left unwritten must not pass for a result
        result = np.full((batch, ny, *out), np.nan, np.float32)

        def one(index: tuple[int, int]) -> None:
            b, y = index
            image = np.require(source[b, y].numpy(), np.float32, ["C", "W"])
            operation(self._projector[y], image, out=result[b, y])
            if np.isnan(result[b, y, 0, 0]) and np.all(np.isfinite(image)):
                raise BackendError("ASTRA returned without a result")

        pool = _pool()
        for _ in pool.map(one, np.ndindex(batch, ny)):
            pass
        return torch.from_numpy(result).permute(0, 2, 1, 3)


_local: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()
# a forked child has the pool without its threads, and would wait for them for ever
os.register_at_fork(after_in_child=_local.clear)


def _pool() -> ThreadPoolExecutor:
    """One pool for the process, as wide as torch's thread count."""
    width = torch.get_num_threads()
    with _lock:
        if width not in _local:
            _local[width] = ThreadPoolExecutor(width, thread_name_prefix="astra-2d")
        return _local[width]


def _free(ids: list[int]) -> None:
    astra.projector.delete(ids)
