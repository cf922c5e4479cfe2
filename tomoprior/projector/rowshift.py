"""Shifts of a tilt along the rotation axis: a linear interpolation between detector rows, and its exact transpose."""

from __future__ import annotations

import numpy as np
import torch

from tomoprior.geometry import Geometry


def forward(projections: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Move tilt i by ``shifts[i, 0]`` rows: ``(batch, n_angles, ny, nu)``, with zeros in rows that come from outside.

    Parameters
    ----------
    projections
        Shape ``(batch, n_angles, ny, nu)``.
    geometry
        Its ``shifts`` are not None.

    Returns
    -------
    torch.Tensor
        A new tensor of the same shape.
    """
    return _shift(projections, geometry, adjoint=False)


def adjoint(projections: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Apply the transpose of ``forward``; parameters and result as there."""
    return _shift(projections, geometry, adjoint=True)


def undo(projections: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Move the rows back to their true positions, ``(n_angles, ny, nu)``; the outermost rows extend beyond the detector.

    For methods that use the projections directly: the transpose would leave slices near the ends of y dark.
    """
    assert geometry.shifts is not None
    dy = torch.from_numpy(geometry.shifts[:, 0].copy()).to(projections.device)
    ny = projections.shape[1]
    at = torch.arange(ny, device=projections.device)[None, :] + dy[:, None]
    low = torch.floor(at)
    fraction = (at - low).to(projections.dtype)[..., None]
    view = torch.arange(len(dy), device=projections.device)[:, None]
    below, above = (projections[view, (low.long() + step).clamp(0, ny - 1)] for step in (0, 1))
    return below * (1 - fraction) + above * fraction


def _shift(projections: torch.Tensor, geometry: Geometry, *, adjoint: bool) -> torch.Tensor:
    assert geometry.shifts is not None
    dy = geometry.shifts[:, 0]
    whole = np.floor(dy).astype(int)
    out = torch.zeros_like(projections)
    ny = projections.shape[-2]
    for i, (k, fraction) in enumerate(zip(whole, dy - whole, strict=True)):
        for step, weight in ((int(k), 1 - fraction), (int(k) + 1, fraction)):
            # row r of the moved image is row r - step of the original; the transpose reverses this
            shift = -step if adjoint else step
            low, high = max(0, shift), min(ny, ny + shift)
            if weight and low < high:
                out[:, i, low:high] += weight * projections[:, i, low - shift : high - shift]
    return out
