"""The system matrix of a slice and its transpose, applied to all slices at once; on the CPU or, as the exact pair, the GPU.

All slices of a single-axis parallel-beam geometry share one matrix, so a volume laid out as ``(voxel, slice)`` is projected by
one sparse-times-dense product. Results are returned as views in that layout: a chain of products copies nothing.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy import sparse

from tomoprior import memory
from tomoprior.geometry import Geometry
from tomoprior.projector.backends import Cost, Kind, default_budget
from tomoprior.projector.sparse import csr_product, csr_tensor

from . import disk_cache, linear_kernel
from .export import export
from .geometry import slice_geometries, vectors_2d

log = logging.getLogger("tomoprior.projector")

#: float32 value and int32 index, once in A and once in its transpose
BYTES_PER_ENTRY = 16
#: seconds per entry to build and transpose, on one core of 2024
SECONDS_PER_ENTRY = {"linear": 8e-8, "line": 3e-7, "strip": 3.2e-7}
#: entries of `line` and `strip` for each of `linear`, over a series; a single tilt near 45 degrees has up to a third more
DENSITY = {"linear": 1.0, "line": 0.75, "strip": 1.85}


@dataclass(frozen=True)
class Pair:
    """A and its transpose as torch CSR tensors on one device."""

    forward: torch.Tensor
    adjoint: torch.Tensor
    nbytes: int


class MatrixBackend:
    """Exact pair of sparse matrices. Memory: 16 bytes an entry, about ``32 n_angles nz nx`` bytes, per distinct centre."""

    name: ClassVar[str] = "astra-matrix"
    preference: ClassVar[int] = 20
    matched: ClassVar[bool] = True

    def __init__(self, geometry: Geometry, kind: Kind, device: torch.device) -> None:
        self.geometry, self.device = geometry, device
        self._groups = geometry.slice_groups()
        self._pairs = [_cached(geometry, int(rows[0]), kind, device) for rows in self._groups]

    @classmethod
    def cost(cls, geometry: Geometry, kind: Kind) -> Cost:
        """Bytes kept and seconds to build, for all distinct centres."""
        nz, _, nx = geometry.shape
        entries = linear_kernel.count(vectors_2d(geometry, 0), nz, nx, geometry.detector[1]) * DENSITY[kind]
        entries *= len(geometry.slice_groups())
        return Cost(int(entries * BYTES_PER_ENTRY), entries * SECONDS_PER_ENTRY[kind])

    @classmethod
    def refusal(cls, geometry: Geometry, kind: Kind, device: torch.device, budget: int) -> str | None:
        """Refuse what exceeds the budget or the range of a 32-bit index."""
        cost = cls.cost(geometry, kind)
        if cost.bytes / BYTES_PER_ENTRY / len(geometry.slice_groups()) >= 2**31:
            return "the matrix of one slice has more than 2^31 entries"
        if cost.bytes > budget:
            return f"the matrix needs {memory.format_bytes(cost.bytes)}, the budget is {memory.format_bytes(budget)}"
        return None

    @classmethod
    def clear_cache(cls) -> None:
        """Forget the matrices kept in memory; projectors in use keep theirs."""
        with _lock:
            _cache.clear()

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """``(batch, nz, ny, nx)`` to ``(batch, n_angles, ny, nu)``."""
        n, _, nu = self.geometry.range_shape
        return self._product(volumes, (n, nu), "forward")

    def adjoint(self, projections: torch.Tensor) -> torch.Tensor:
        """``(batch, n_angles, ny, nu)`` to ``(batch, nz, ny, nx)``."""
        nz, _, nx = self.geometry.shape
        return self._product(projections, (nz, nx), "adjoint")

    def _product(self, x: torch.Tensor, out: tuple[int, int], which: str) -> torch.Tensor:
        batch, rows, ny, columns = x.shape
        if len(self._groups) == 1:
            # (batch, row, y, column) -> (row * column, batch * y): a view if x came from here
            flat = x.permute(1, 3, 0, 2).reshape(rows * columns, batch * ny)
            y = csr_product(getattr(self._pairs[0], which), flat)
            return y.view(*out, batch, ny).permute(2, 0, 3, 1)
        result = x.new_empty(*out, batch, ny)
        for slices, pair in zip(self._groups, self._pairs, strict=True):
            index = torch.from_numpy(slices).to(x.device)
            flat = x[:, :, index, :].permute(1, 3, 0, 2).reshape(rows * columns, batch * len(slices))
            result[..., index] = csr_product(getattr(pair, which), flat).view(*out, batch, len(slices))
        return result.permute(2, 0, 3, 1)


_cache: OrderedDict[tuple[str, str, str], Pair] = OrderedDict()
_lock = threading.Lock()


def _cached(geometry: Geometry, y: int, kind: Kind, device: torch.device) -> Pair:
    """The pair of slice ``y``, built once and kept while the budget lasts; the least recently used goes first."""
    key = (disk_cache.key(geometry, y, kind), kind, str(device))
    with _lock:
        pair = _cache.get(key)
        if pair is None:
            pair = _build(geometry, y, kind, device)
            kept = default_budget()
            while _cache and sum(p.nbytes for p in _cache.values()) + pair.nbytes > kept:
                _cache.popitem(last=False)
            _cache[key] = pair
        _cache.move_to_end(key)
        return pair


def _build(geometry: Geometry, y: int, kind: Kind, device: torch.device) -> Pair:
    nz, _, nx = geometry.shape
    cost = MatrixBackend.cost(geometry.rows(y, y + 1), kind)
    log.info("building the %s matrix: at most %s, about %.1f s", kind, memory.format_bytes(cost.bytes), cost.seconds)
    matrix = disk_cache.load(geometry, y, kind)
    if matrix is None:
        if kind == "linear":
            matrix = linear_kernel.build(vectors_2d(geometry, y), nz, nx, geometry.detector[1], threads=torch.get_num_threads())
        else:
            matrix = export(kind, *slice_geometries(geometry, y))
        disk_cache.save(matrix, geometry, y, kind)
    transposed = matrix.T.tocsr()
    return Pair(_tensor(matrix, device), _tensor(transposed, device), matrix.nnz * BYTES_PER_ENTRY)


def _tensor(matrix: sparse.csr_matrix, device: torch.device) -> torch.Tensor:
    start, columns = (torch.from_numpy(np.asarray(a, dtype=np.int32)) for a in (matrix.indptr, matrix.indices))
    values = torch.from_numpy(np.asarray(matrix.data, dtype=np.float32))
    return csr_tensor(start, columns, values, matrix.shape).to(device)
