"""Statistics of the tilts alone: their noise, their gradients, and values for excluded rays."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import pad as pad_edges


def estimate_noise_variance(projections: torch.Tensor) -> torch.Tensor:
    """Estimate the variance of each tilt's white noise, ``(..., n_angles)``.

    The estimate uses the mean absolute response to a difference of Laplacians, to which smooth images hardly respond
    (Immerkaer, CVIU 64 (1996) 300, eq. 4). Fine structure adds to the response, so the estimate is an upper bound.
    """
    p = projections.double()
    d = p[..., 2:, :] - 2 * p[..., 1:-1, :] + p[..., :-2, :]
    d = d[..., 2:] - 2 * d[..., 1:-1] + d[..., :-2]
    sigma = math.sqrt(math.pi / 2) / 6 * d.abs().mean((-2, -1))
    return sigma.square().float()


def compute_gradient_power(projections: torch.Tensor) -> torch.Tensor:
    """Return ``|grad p|^2`` of the smoothed tilts, shaped as ``projections``.

    A random shift along both axes adds this variance per squared pixel of the shift's standard deviation.
    """
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=projections.device) / 16
    p = pad_edges(projections.reshape(-1, 1, *projections.shape[-2:]), (2, 2, 2, 2), mode="replicate")
    p = torch.nn.functional.conv2d(p, kernel.view(1, 1, 5, 1))
    p = torch.nn.functional.conv2d(p, kernel.view(1, 1, 1, 5))[:, 0]
    dy, dx = torch.gradient(p, dim=(1, 2))
    return dy.square_().add_(dx.square_()).view(projections.shape)


def fill_excluded_rays(projections: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Replace every ray that does not count by the mean of its tilt's other rays, or of all rays if the tilt has none."""
    sums = torch.where(counted, projections, 0.0).sum((1, 2), keepdim=True)
    counts = counted.sum((1, 2), keepdim=True)
    means = torch.where(counts > 0, sums / counts.clamp_min(1), sums.sum() / counts.sum())
    return torch.where(counted, projections, means)
