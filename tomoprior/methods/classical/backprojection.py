"""Voxel-driven back-projection: every voxel adds the linearly interpolated detector value of every tilt at its own position.

Unlike the adjoint of a ray-driven projector it leaves no pattern of rays and voxels in the volume. Filtered back-projection
therefore uses it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.geometry import Geometry
from tomoprior.projector import backends, rowshift
from tomoprior.projector.sparse import csr_product, csr_tensor

#: Size of the blocks of interpolation indices and weights. All blocks use the same memory, in place: new memory and
#: interleaving by ``torch.stack`` took five times as long as the products.
BLOCK_BYTES = 64 * 2**20


def backproject(projections: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Sum over tilts: ``(nz, ny, nx)`` from ``(n_angles, ny, nu)``; the detector is zero beyond its ends."""
    if geometry.couples_slices:
        projections = rowshift.undo(projections, geometry)
    volume = backends.interpolate(projections, geometry)
    return _multiply_tables(projections, geometry) if volume is None else volume


def _multiply_tables(projections: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Return the same by products with sparse matrices, on any device."""
    nz, ny, nx = geometry.shape
    n, _, nu = geometry.range_shape
    device = projections.device
    # (angle and u, y): the values of all slices at one place are adjacent; zeros for the interpolation lie beyond the detector
    flat = torch.nn.functional.pad(projections, (1, 2)).permute(0, 2, 1).reshape(n * (nu + 3), ny)
    volume = torch.empty(nz, nx, ny, device=device)
    height = max(1, BLOCK_BYTES // (nx * n * 2 * 8))
    for slices in geometry.slice_groups():
        all_slices = len(slices) == ny
        index = torch.from_numpy(slices).to(device)
        data = flat if all_slices else flat[:, index].contiguous()
        operator = _Interpolation(geometry, int(slices[0]), height, device)
        for first in range(0, nz, height):
            last = min(nz, first + height)
            part = csr_product(operator.rows(first, last), data).view(last - first, nx, len(slices))
            if all_slices:
                volume[first:last] = part
            else:
                volume[first:last][..., index] = part
    return volume.permute(0, 2, 1)


class _Interpolation:
    """Sparse matrices ``(rows * nx, n * (nu + 3))`` for a range of rows z: two entries for every voxel and tilt."""

    def __init__(self, geometry: Geometry, y: int, height: int, device: torch.device) -> None:
        nz, _, nx = geometry.shape
        n, _, self.nu = geometry.range_shape
        # position on the detector, from 0, as a part from x (nx, n) and a part from z (nz, n)
        middle = (self.nu - 1) / 2 - geometry.offsets(y)
        self.x = _to_float32(np.outer(np.arange(nx) - (nx - 1) / 2, np.cos(geometry.angles)) + middle, device)
        self.z = _to_float32(np.outer(np.arange(nz) - (nz - 1) / 2, -np.sin(geometry.angles)), device)
        self.columns = torch.arange(n, device=device, dtype=torch.float32) * (self.nu + 3) + 1
        if n * (self.nu + 3) >= 2**24:  # beyond it float32 cannot count the columns
            self.columns = self.columns.double()
        size = min(height, nz), nx, n
        self.position, self.low = torch.empty(size, device=device), torch.empty(size, device=device)
        self.values = torch.empty((*size, 2), device=device)
        self.index = torch.empty((*size, 2), dtype=torch.int32, device=device)

    def rows(self, first: int, last: int) -> torch.Tensor:
        """Return the matrix of rows ``first <= z < last``; the next call overwrites it."""
        position, low, values, index = (buffer[: last - first] for buffer in (self.position, self.low, self.values, self.index))
        torch.add(self.z[first:last, None, :], self.x, out=position).clamp_(-1, self.nu)
        torch.floor(position, out=low)
        position.sub_(low)
        torch.sub(1, position, out=values[..., 0])
        values[..., 1].copy_(position)
        index[..., 0].copy_(low.add_(self.columns) if self.columns.dtype == low.dtype else low + self.columns)
        torch.add(index[..., 0], 1, out=index[..., 1])
        count = position.shape[0] * position.shape[1]
        entries = 2 * position.shape[2]
        start = torch.arange(count + 1, device=position.device, dtype=torch.int32) * entries
        return csr_tensor(start, index.reshape(-1), values.reshape(-1), (count, position.shape[2] * (self.nu + 3)))


def _to_float32(values: NDArray[np.float64], device: torch.device) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(device)
