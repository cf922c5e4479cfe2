"""Forward differences along the three axes of a volume, and their exact adjoint; both keep the volume's memory layout.

Plain slices into a prepared output: on the CPU this is several times faster than stacking or padding.
"""

from __future__ import annotations

import torch


def forward(x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    """``(3, nz, ny, nx)`` of ``x[i + 1] - x[i]`` along z, y, x; zero at the far border (a volume's own border is free)."""
    if out is None:
        out = empty(x)
    for axis in range(3):
        n = x.shape[axis]
        torch.sub(x.narrow(axis, 1, n - 1), x.narrow(axis, 0, n - 1), out=out[axis].narrow(axis, 0, n - 1))
        out[axis].narrow(axis, n - 1, 1).zero_()
    return out


def adjoint(g: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    """Transpose of ``forward`` (minus the divergence), shape ``(nz, ny, nx)``."""
    if out is None:
        out = torch.empty_like(g[0])
    out.zero_()
    for axis in range(3):
        n = out.shape[axis]
        part = g[axis].narrow(axis, 0, n - 1)
        out.narrow(axis, 0, n - 1).sub_(part)
        out.narrow(axis, 1, n - 1).add_(part)
    return out


def empty(x: torch.Tensor) -> torch.Tensor:
    """Room for a gradient of ``x``, each component laid out as ``x``."""
    return torch.empty((3, *x.shape), dtype=x.dtype, device=x.device).as_strided((3, *x.shape), (x.numel(), *x.stride()))
