"""The projector for the estimates of a training: Joseph's matrix of a slice, built on the device."""

from __future__ import annotations

from functools import cached_property

import torch

from tomoprior.geometry import Geometry
from tomoprior.projector.operator import PairedOperator
from tomoprior.projector.sparse import csr_product, csr_tensor


class MatrixProjector(PairedOperator):
    """The map of ``Projector(geometry, kind="linear")`` up to rounding, for geometries whose slices share their rays.

    A training needs a new geometry every few seconds, for a batch of volumes, on a machine that may have no ASTRA: the matrix
    is built on the device that uses it. Joseph, IEEE Trans. Med. Imaging 1 (1982) 192: a ray is followed along the axis to
    which it is closer; in each row (or column) of voxels it takes the linear interpolation of its two neighbours.
    """

    def __init__(self, geometry: Geometry, device: torch.device | str) -> None:
        if len(geometry.slice_groups()) != 1 or geometry.couples_slices:
            raise ValueError("all slices must have the same rays")
        self.geometry, self.device = geometry, torch.device(device)
        self.domain_shape, self.range_shape = geometry.domain_shape, geometry.range_shape

    @cached_property
    def _pair(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Matrix and transpose as CSR."""
        nz, _, nx = self.geometry.shape
        rows, columns, values = self._entries()
        shape = (self.geometry.n_angles * self.geometry.detector[1], nz * nx)
        return _to_csr(rows, columns, values, shape), _to_csr(columns, rows, values, shape[::-1])

    def _entries(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return ray, voxel and weight of every entry."""
        g, device = self.geometry, self.device
        nz, _, nx = g.shape
        nu = g.detector[1]
        pixel = torch.arange(nu, device=device, dtype=torch.float64) + 0.5 - nu / 2
        X = torch.arange(nx, device=device, dtype=torch.float64) - (nx - 1) / 2
        Z = torch.arange(nz, device=device, dtype=torch.float64) - (nz - 1) / 2
        offsets = g.offsets(0)
        parts = []
        for i, theta in enumerate(torch.from_numpy(g.angles.copy())):
            cos, sin = float(theta.cos()), float(theta.sin())
            u = pixel + float(offsets[i])
            if abs(cos) >= abs(sin):  # X from u = X cos - Z sin, in every row
                crossing = (u[:, None] + Z * sin) / cos + (nx - 1) / 2
                base, stride, limit, length = torch.arange(nz, device=device) * nx, 1, nx, 1 / abs(cos)
            else:
                crossing = (X * cos - u[:, None]) / sin + (nz - 1) / 2
                base, stride, limit, length = torch.arange(nx, device=device), nx, nz, 1 / abs(sin)
            low = crossing.floor()
            share = crossing - low
            ray = (torch.arange(nu, device=device) + i * nu)[:, None].expand(low.shape)
            for step, weight in ((0, 1 - share), (1, share)):
                index = low.long() + step
                inside = (index >= 0) & (index < limit)
                parts.append((ray[inside], (base + index * stride)[inside], (weight * length).float()[inside]))
        rows, columns, values = (torch.cat(v) for v in zip(*parts, strict=True))
        return rows, columns, values

    def _apply(self, batch: torch.Tensor) -> torch.Tensor:
        return _product(self._pair[0], batch, (self.range_shape[0], self.range_shape[2]))

    def _apply_adjoint(self, batch: torch.Tensor) -> torch.Tensor:
        return _product(self._pair[1], batch, (self.domain_shape[0], self.domain_shape[2]))


def _product(matrix: torch.Tensor, x: torch.Tensor, out: tuple[int, int]) -> torch.Tensor:
    """Return ``(batch, out[0], y, out[1])`` for ``(batch, row, y, column)``: a view in the layout of the product."""
    batch, rows, ny, columns = x.shape
    flat = x.permute(1, 3, 0, 2).reshape(rows * columns, batch * ny)
    return csr_product(matrix, flat).view(*out, batch, ny).permute(2, 0, 3, 1)


def _to_csr(rows: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    order = torch.argsort(rows * shape[1] + columns)
    start = torch.zeros(shape[0] + 1, dtype=torch.int32, device=rows.device)
    start[1:] = torch.bincount(rows, minlength=shape[0]).cumsum(0)
    return csr_tensor(start, columns[order].int(), values[order], shape)
