"""Shifts of a tilt along the rotation axis: a linear interpolation between detector rows, and its exact transpose."""

from __future__ import annotations

import numpy as np
import torch

from tomoprior.geometry import Geometry


def forward(projections: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Move tilt i by ``shifts[i, 0]`` rows; ``(batch, n_angles, ny, nu)``, zero where nothing moves in."""
    return _shift(projections, geometry, adjoint=False)


def adjoint(projections: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Transpose of ``forward``."""
    return _shift(projections, geometry, adjoint=True)


def _shift(projections: torch.Tensor, geometry: Geometry, *, adjoint: bool) -> torch.Tensor:
    assert geometry.shifts is not None
    dy = geometry.shifts[:, 0]
    whole = np.floor(dy).astype(int)
    out = torch.zeros_like(projections)
    ny = projections.shape[-2]
    for i, (k, fraction) in enumerate(zip(whole, dy - whole, strict=True)):
        for step, weight in ((int(k), 1 - fraction), (int(k) + 1, fraction)):
            # row r of the moved picture is row r - step of the original; the transpose reads it the other way
            shift = -step if adjoint else step
            low, high = max(0, shift), min(ny, ny + shift)
            if weight and low < high:
                out[:, i, low:high] += weight * projections[:, i, low - shift : high - shift]
    return out
