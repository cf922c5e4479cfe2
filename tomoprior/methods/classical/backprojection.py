"""Voxel-driven back-projection: every voxel takes, from every tilt, the linear interpolation at its own place.

Unlike the adjoint of a ray-driven projector it leaves no pattern of rays and voxels in the volume, which is why filtered
projections are smeared back with it.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch

from tomoprior.geometry import Geometry

#: Size of the blocks of interpolation indices and weights.
BLOCK_BYTES = 128 * 2**20


def backproject(projections: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Sum over tilts; ``(n_angles, ny, nu)`` to ``(nz, ny, nx)``, zero weight beyond the detector."""
    if geometry.couples_slices:
        from tomoprior import rowshift

        projections = rowshift.adjoint(projections[None], geometry)[0]
    nz, ny, nx = geometry.shape
    n, _, nu = geometry.range_shape
    device = projections.device
    flat = projections.permute(0, 2, 1).contiguous()  # (angle, u, y): the slices of one place lie together
    volume = torch.zeros(nz, nx, ny, device=device)
    _, inverse = np.unique(geometry.center, return_inverse=True)
    tilts = max(1, BLOCK_BYTES // (nz * nx * 2 * 8))
    for group in range(inverse.max() + 1):
        slices = np.flatnonzero(inverse == group)
        every = len(slices) == ny
        index = torch.from_numpy(slices).to(device)
        for first in range(0, n, tilts):
            views = slice(first, min(n, first + tilts))
            operator = _interpolation(geometry, int(slices[0]), views, device)
            rows = flat[views] if every else flat[views][..., index]
            part = (operator @ rows.reshape(-1, len(slices))).view(nz, nx, len(slices))
            if every:
                volume += part
            else:
                volume[..., index] += part
    return volume.permute(0, 2, 1)


def _interpolation(geometry: Geometry, y: int, views: slice, device: torch.device) -> torch.Tensor:
    """Sparse ``(nz * nx, tilts * nu)``: two entries for every voxel and tilt."""
    nz, _, nx = geometry.shape
    nu = geometry.detector[1]
    theta = torch.from_numpy(geometry.angles[views].copy()).to(device)
    offset = torch.from_numpy(geometry.offsets(y)[views].copy()).to(device)
    z = torch.arange(nz, device=device, dtype=torch.float64) - (nz - 1) / 2
    x = torch.arange(nx, device=device, dtype=torch.float64) - (nx - 1) / 2
    # place on the detector, from 0: (nz, nx, tilts)
    shift = (nu - 1) / 2 - offset
    at = x[None, :, None] * torch.cos(theta) - z[:, None, None] * torch.sin(theta) + shift
    low = torch.floor(at)
    fraction = (at - low).float()
    low = low.to(torch.int32)
    column = torch.arange(len(theta), device=device, dtype=torch.int32) * nu
    pairs = torch.stack([low, low + 1], dim=-1)
    values = torch.stack([1 - fraction, fraction], dim=-1)
    values *= (pairs >= 0) & (pairs < nu)
    pairs = pairs.clamp_(0, nu - 1) + column[:, None]
    entries = 2 * len(theta)
    start = torch.arange(nz * nx + 1, device=device, dtype=torch.int32) * entries
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            start, pairs.reshape(-1), values.reshape(-1), (nz * nx, len(theta) * nu), check_invariants=False
        )
