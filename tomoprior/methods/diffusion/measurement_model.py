"""The linear measurement model of a series in the prior's units: projector, data, and inverse variances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from tomoprior.geometry import Geometry
from tomoprior.methods import arguments
from tomoprior.methods.diffusion.data_statistics import compute_gradient_power, estimate_noise_variance, fill_excluded_rays
from tomoprior.methods.diffusion.ray_geometry import LinearProjector, compute_coverage, compute_padding, mark_used_rays
from tomoprior.methods.diffusion.scale import Scale, measure_scale
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.methods.solving.problem import copy_in_layout
from tomoprior.projector import Projector

#: Standard deviation of the model's own error (saturation, magnification, angles), as a share of a tilt's range of values.
MODEL_ERROR_SHARE = 0.01


@dataclass
class MeasurementModel:
    """``y = A u + brightness per tilt + noise`` in the prior's units, for one series or a batch that shares its geometry.

    Attributes
    ----------
    A
        The projector on the padded grid.
    y
        Line integrals of ``u``, ``(..., n_angles, ny, nu)``; zero for unused rays.
    w
        Inverse variances of ``y``, the same shape: noise, misalignment and the model's own error. 0 for rays that leave the
        grid.
    offset
        Variance of each tilt's brightness, an additive constant that the data cannot tell from density; ``(batch, 1, 1, 1)``
        for a batch.
    scale
        Converts ``u`` to densities.
    pad
        Voxels added on either side of x.
    coverage
        Share of the tilts that see a voxel, ``(nz, nx)`` of the padded grid.
    tilt_weights
        Factor on each tilt's weights, ``(..., n_angles)``: 1, or less where a tilt does not agree with the others.
    """

    A: LinearProjector
    y: torch.Tensor
    w: torch.Tensor
    offset: float | torch.Tensor
    scale: Scale
    pad: int
    coverage: torch.Tensor
    tilt_weights: torch.Tensor

    def weighted(self, r: torch.Tensor) -> torch.Tensor:
        """Return ``W r`` with each tilt's brightness marginalised.

        ``W`` is the inverse of ``diag(1 / w) + offset 1 1^T`` (Woodbury).
        """
        weight, total = self._weights
        wr = weight * r
        return wr.sub_(weight * (wr.sum((-2, -1), keepdim=True) / total))

    @cached_property
    def _weights(self) -> tuple[torch.Tensor, torch.Tensor]:
        """``w`` times the tilt weights, and the divisor of a tilt's weighted sum."""
        weight = self.w * self.tilt_weights[..., None, None]
        return weight, 1 / self.offset + weight.sum((-2, -1), keepdim=True)

    @cached_property
    def deviation(self) -> torch.Tensor:
        """Standard deviation of ``y`` without brightness, larger for tilts of little weight; 0 for unused rays."""
        deviation = torch.where(self.w > 0, self.w.clamp_min(1e-20).rsqrt(), torch.zeros_like(self.w))
        return deviation * self.tilt_weights.clamp_min(1e-3).rsqrt()[..., None, None]

    def fit_brightness(self, r: torch.Tensor) -> torch.Tensor:
        """Return each tilt's most likely brightness given residuals ``y - A u``, ``(..., n_angles, 1, 1)``."""
        total = self.w.sum((-2, -1), keepdim=True)
        return (self.w * r).sum((-2, -1), keepdim=True) / (1 / self.offset + total)

    def squared_residual(self, u: torch.Tensor, projections: torch.Tensor, rows: slice = slice(None)) -> tuple[float, float]:
        """Return ``||W^(1/2) (y - A u)||^2`` and ``||W^(1/2) p||^2`` over some rows of one series.

        ``p`` are the series' ``projections`` in the prior's units.
        """
        w = (self.w * self.tilt_weights[:, None, None])[:, rows]
        r = (self.y - self.A(u.contiguous()))[:, rows]
        p = projections[:, rows] / self.scale.gain
        return float((r * r * w).sum()), float((p * p * w).sum())

    def crop(self, x: torch.Tensor) -> torch.Tensor:
        """Remove the padding along x."""
        return x if self.pad == 0 else x[..., self.pad : x.shape[-1] - self.pad]


def prepare_model(
    projections: torch.Tensor,
    projector: Projector,
    spectrum: Spectrum,
    *,
    weights: torch.Tensor | None = None,
    shift_std: float | Sequence[float] = 0.5,
    offset_std: float = 0.05,
    scale: Scale | None = None,
    thickness: float | None = None,
) -> MeasurementModel:
    """Build the measurement model of a user's series.

    Parameters
    ----------
    projections, weights
        The arguments of every method. Weights are inverse variances up to a common factor; the noise estimated from the tilts
        sets this factor.
    spectrum
        The tissue's spectrum, in the prior's units.
    shift_std
        Standard deviation of the tilts' shifts that remain after alignment, pixels: one, or one for each tilt.
    offset_std
        Standard deviation of each tilt's brightness, as a share of the mean line integral.
    scale
        By default it is measured from these tilts; slabs of one volume share one.
    thickness
        Thickness of the section in voxels, if it is known; by default the section fills the grid.

    Raises
    ------
    InputError
        If shapes do not fit, or the tilts have no contrast.
    """
    arguments.check_projections(projections, projector)
    user_weights = arguments.expand_weights(weights, projector)
    geometry, device = projector.geometry, projections.device
    pad = compute_padding(geometry)
    A = projector.with_geometry(geometry.padded(pad))
    valid = mark_used_rays(geometry, pad).to(device)
    if user_weights is not None:
        counted = user_weights.expand(projections.shape) > 0
        projections, valid = fill_excluded_rays(projections, counted), valid * counted
    noise = estimate_noise_variance(projections).clamp_min(1e-6 * float(projections.var().clamp_min(1e-20)))
    if scale is None:
        scale = measure_scale(projections, valid, noise, geometry, spectrum, thickness)
    variance = noise[:, None, None].expand(projections.shape).clone()
    if user_weights is not None:
        ray_weights = user_weights.expand(projections.shape)
        level = torch.median(noise[:, None, None].expand_as(ray_weights)[counted] * ray_weights[counted])
        variance = torch.where(counted, level / ray_weights.clamp_min(1e-30), variance)
    mass = scale.mean * (geometry.shape[0] if thickness is None else thickness)
    return build_model(projections, geometry, A, valid, variance, scale, mass, shift_std=shift_std, offset_std=offset_std)


def build_model(
    projections: torch.Tensor,
    geometry: Geometry,
    A: LinearProjector,
    valid: torch.Tensor,
    variance: torch.Tensor,
    scale: Scale,
    mass: float | torch.Tensor,
    *,
    shift_std: float | Sequence[float] = 0.5,
    offset_std: float = 0.05,
) -> MeasurementModel:
    """Build the measurement model of a series, or of a batch of series that share ``geometry``.

    Parameters
    ----------
    projections, variance
        Line integrals and the variance of their noise, ``(..., n_angles, ny, nu)``; ``variance`` is changed in place.
    A
        The projector on the grid padded by ``compute_padding(geometry)``.
    valid
        1 where a ray is used, ``(n_angles, ny, nu)``.
    mass
        Mean line integral along z.
    """
    device = projections.device
    nz = geometry.shape[0]
    shift_variance = torch.as_tensor(shift_std, dtype=torch.float64).square().float().to(device)
    variance += shift_variance[..., None, None] * compute_gradient_power(projections)
    sample = projections.flatten(-2)[..., :: max(1, math.prod(projections.shape[-2:]) // 4096)]
    low, high = torch.quantile(sample, torch.tensor([0.02, 0.98], device=device), dim=-1)
    variance += (MODEL_ERROR_SHARE * (high - low))[..., None, None] ** 2
    cos = torch.from_numpy(np.cos(geometry.angles).astype(np.float32)).abs().to(device)[:, None, None]
    background = scale.mean * nz / cos.clamp_min(1e-3)
    layout = A(A.T(torch.zeros_like(projections)))
    y = copy_in_layout(layout, (projections - background) / scale.gain * valid)
    w = copy_in_layout(layout, valid * scale.gain**2 / variance)
    offset = (offset_std * mass / scale.gain) ** 2 + 1e-6
    pad = (A.domain_shape[2] - geometry.shape[2]) // 2
    tilt_weights = torch.ones(projections.shape[:-2], device=device)
    return MeasurementModel(A, y, w, offset, scale, pad, compute_coverage(A, valid), tilt_weights)
