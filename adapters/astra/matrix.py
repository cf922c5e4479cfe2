"""The system matrix of a slice and its transpose, applied to all slices at once; on the CPU or, as the exact pair, the GPU.

All slices of a single-axis geometry share one matrix, so a volume laid out as ``(voxel, slice)`` is projected by
one product of a sparse and a dense matrix. Results are views in that layout: a chain of products copies nothing.
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
from tomoprior.geometry import FanGeometry, Geometry
from tomoprior.projector.backends import Cost, Kind, default_budget
from tomoprior.projector.sparse import csr_product, csr_tensor

from . import disk_cache, linear_kernel
from .export import export_matrix
from .geometry import fan_refusal, kernel_name, slice_geometries, vectors_2d

log = logging.getLogger("tomoprior.projector")

#: A float32 value and an int32 index, in A and in its transpose.
BYTES_PER_ENTRY = 16
#: Seconds per entry to build and transpose, on one core of 2024.
SECONDS_PER_ENTRY = {"linear": 8e-8, "line": 3e-7, "strip": 3.2e-7}
#: Entries per entry of `linear`, over a series; a single tilt near 45 degrees has up to a third more.
DENSITY = {"linear": 1.0, "line": 0.75, "strip": 1.85}


@dataclass(frozen=True)
class MatrixPair:
    """The matrix A and its transpose as torch CSR tensors on one device."""

    forward: torch.Tensor
    adjoint: torch.Tensor
    nbytes: int

    @classmethod
    def from_scipy(cls, matrix: sparse.csr_matrix, device: torch.device) -> MatrixPair:
        """Return a matrix with its transpose on ``device``."""
        transposed = matrix.T.tocsr()
        return cls(_to_csr_tensor(matrix, device), _to_csr_tensor(transposed, device), matrix.nnz * BYTES_PER_ENTRY)


def apply_to_slices(matrix: torch.Tensor, x: torch.Tensor, out: tuple[int, int]) -> torch.Tensor:
    """Apply a matrix to each slice of ``(batch, row, slice, column)``; axes 1 and 3 of the result have the sizes ``out``."""
    batch, rows, ny, columns = x.shape
    # (batch, row, y, column) -> (row * column, batch * y): a view if x came from here
    flat = x.permute(1, 3, 0, 2).reshape(rows * columns, batch * ny)
    return csr_product(matrix, flat).view(*out, batch, ny).permute(2, 0, 3, 1)


class MatrixBackend:
    """An exact pair of sparse matrices. Memory: 16 bytes per entry, about ``32 n_angles nz nx`` bytes per distinct centre."""

    name: ClassVar[str] = "astra-matrix"
    preference: ClassVar[int] = 20
    matched: ClassVar[bool] = True

    def __init__(self, geometry: Geometry, kind: Kind, device: torch.device) -> None:
        self.geometry, self.device = geometry, device
        self._groups = geometry.slice_groups()
        self._pairs = [_get_pair(geometry, int(rows[0]), kind, device) for rows in self._groups]

    @classmethod
    def cost(cls, geometry: Geometry, kind: Kind) -> Cost:
        """Return the bytes kept and the seconds to build, for all distinct centres."""
        entries = _count_entries(geometry) * DENSITY[kind]
        entries *= len(geometry.slice_groups())
        return Cost(int(entries * BYTES_PER_ENTRY), entries * SECONDS_PER_ENTRY[kind])

    @classmethod
    def refusal(cls, geometry: Geometry, kind: Kind, device: torch.device, budget: int) -> str | None:
        """Refuse a matrix beyond the budget or the range of a 32-bit index, and what ASTRA cannot compute of a fan."""
        reason = fan_refusal(geometry, kind)
        if reason is not None:
            return reason
        cost = cls.cost(geometry, kind)
        if cost.bytes / BYTES_PER_ENTRY / len(geometry.slice_groups()) >= 2**31:
            return "the matrix of one slice has more than 2^31 entries"
        if cost.bytes > budget:
            return f"the matrix needs {memory.format_bytes(cost.bytes)}, the budget is {memory.format_bytes(budget)}"
        return None

    @classmethod
    def clear_cache(cls) -> None:
        """Free the matrices kept for later projectors; projectors in use keep theirs."""
        with _lock:
            _cache.clear()

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """Project ``(batch, nz, ny, nx)`` to ``(batch, n_angles, ny, nu)``."""
        n, _, nu = self.geometry.range_shape
        return self._product(volumes, (n, nu), "forward")

    def adjoint(self, projections: torch.Tensor) -> torch.Tensor:
        """Back-project ``(batch, n_angles, ny, nu)`` to ``(batch, nz, ny, nx)``."""
        nz, _, nx = self.geometry.shape
        return self._product(projections, (nz, nx), "adjoint")

    def make_result(self, batch: int, rows: int, ny: int, columns: int) -> torch.Tensor:
        """Return an empty tensor ``(batch, rows, ny, columns)`` in the memory layout of the results."""
        return torch.empty(rows, columns, batch, ny, dtype=torch.float32, device=self.device).permute(2, 0, 3, 1)

    def _product(self, x: torch.Tensor, out: tuple[int, int], which: str) -> torch.Tensor:
        if len(self._groups) == 1:
            return apply_to_slices(getattr(self._pairs[0], which), x, out)
        batch, _, ny, _ = x.shape
        result = self.make_result(batch, out[0], ny, out[1])
        for slices, pair in zip(self._groups, self._pairs, strict=True):
            index = torch.from_numpy(slices).to(x.device)
            result[:, :, index] = apply_to_slices(getattr(pair, which), x[:, :, index], out)
        return result


_cache: OrderedDict[tuple[str, str, str], MatrixPair] = OrderedDict()
_lock = threading.Lock()


def _get_pair(geometry: Geometry, y: int, kind: Kind, device: torch.device) -> MatrixPair:
    """Return the pair of slice ``y``, built once and kept within the budget; the least recently used is dropped first."""
    key = (disk_cache.matrix_key(geometry, y, kind), kind, str(device))
    with _lock:
        pair = _cache.get(key)
        if pair is None:
            pair = _build_pair(geometry, y, kind, device)
            budget = default_budget()
            while _cache and sum(p.nbytes for p in _cache.values()) + pair.nbytes > budget:
                _cache.popitem(last=False)
            _cache[key] = pair
        _cache.move_to_end(key)
        return pair


def _build_pair(geometry: Geometry, y: int, kind: Kind, device: torch.device) -> MatrixPair:
    nz, _, nx = geometry.shape
    cost = MatrixBackend.cost(geometry.rows(y, y + 1), kind)
    log.info("building the %s matrix: at most %s, about %.1f s", kind, memory.format_bytes(cost.bytes), cost.seconds)
    matrix = disk_cache.load_matrix(geometry, y, kind)
    if matrix is None:
        if kind == "linear":
            matrix = linear_kernel.build_matrix(
                vectors_2d(geometry, y), nz, nx, geometry.detector[1],
                fan=isinstance(geometry, FanGeometry), threads=torch.get_num_threads(),
            )  # fmt: skip
        else:
            matrix = export_matrix(kernel_name(geometry, kind), *slice_geometries(geometry, y))
        disk_cache.save_matrix(matrix, geometry, y, kind)
    return MatrixPair.from_scipy(matrix, device)


def _count_entries(geometry: Geometry) -> int:
    """Return an upper estimate of the number of entries of the linear kernel."""
    nz, _, nx = geometry.shape
    directions = np.stack([np.sin(geometry.angles), -np.cos(geometry.angles)], axis=1)
    spacing = 1.0
    if isinstance(geometry, FanGeometry):  # rays are closest together on the side of the source
        nearest = geometry.source_distance - np.hypot(nz, nx) / 2
        spacing = geometry.pixel_size * nearest / (geometry.source_distance + geometry.detector_distance)
    return linear_kernel.count_entries(directions, nz, nx, geometry.detector[1], spacing)


def _to_csr_tensor(matrix: sparse.csr_matrix, device: torch.device) -> torch.Tensor:
    start, columns = (torch.from_numpy(np.asarray(a, dtype=np.int32)) for a in (matrix.indptr, matrix.indices))
    values = torch.from_numpy(np.asarray(matrix.data, dtype=np.float32))
    return csr_tensor(start, columns, values, matrix.shape).to(device)
