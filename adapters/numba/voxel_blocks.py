"""Voxel-driven back-projection of blocks of slices, by ``voxel_kernel``."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tomoprior.geometry import Geometry

from . import voxel_kernel
from .parallel_blocks import cut_blocks, cut_parts, make_rows, tile_rows
from .parallel_kernel import BEFORE
from .threads import run_parts
from .vectors import WIDTH


def interpolate(projections: Tensor, geometry: Geometry) -> Tensor:
    """Sum over tilts: ``(nz, ny, nx)`` from ``(n_angles, ny, nu)``; the detector is zero beyond its ends."""
    volume = torch.empty(geometry.shape, dtype=torch.float32)
    groups = geometry.slice_groups()
    for slices in groups:
        for begin, end in cut_blocks(len(slices)):
            rows = slice(begin, end) if len(groups) == 1 else torch.from_numpy(slices[begin:end])
            volume[:, rows] = _interpolate_block(projections[:, rows], geometry, int(slices[0]))
    return volume


def _interpolate_block(projections: Tensor, geometry: Geometry, y: int) -> Tensor:
    n, slices, nu = projections.shape
    nz, _, nx = geometry.shape
    cos, sin = np.cos(geometry.angles), np.sin(geometry.angles)
    # a vector that ends beyond the last voxel continues the row
    x = np.arange(-(-nx // WIDTH) * WIDTH) - (nx - 1) / 2
    along = (np.outer(cos, x) + ((nu - 1) / 2 - geometry.offsets(y))[:, None]).astype(np.float32)
    across = np.outer(np.arange(nz) - (nz - 1) / 2, -sin).astype(np.float32)
    rays, image = make_rows(n, slices, nu), make_rows(nz, slices, nx)
    rays[..., BEFORE : BEFORE + nu] = projections

    def follow(begin: int, end: int, first: int, last: int) -> None:
        voxel_kernel.interpolate(
            rays.numpy(), image.numpy(), along, across, cos < 0, nu, begin, end, first, last, tile_rows(image, last - first)
        )

    run_parts(follow, cut_parts(nz, slices))
    return image[..., BEFORE : BEFORE + nx]
