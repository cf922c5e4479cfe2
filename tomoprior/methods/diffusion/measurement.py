"""What was measured, in the prior's units: the projector on a grid that holds every used ray, and how far to trust each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch.nn.functional import pad as pad_edges

from tomoprior.geometry import Geometry
from tomoprior.methods import arguments
from tomoprior.methods.diffusion import scale as scales
from tomoprior.methods.diffusion.scale import Scale
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.methods.solving.problem import copy_in_layout
from tomoprior.projector import Projector

#: Share of a tilt's range that the model itself may be wrong by: saturation, magnification, angles.
FLOOR = 0.01

#: The grid is made wider by at most this many times its thickness on either side; steeper rays are used as far as they stay in
#: it.
WIDEST = 1.5


class LinearProjector(Protocol):
    """What is used of a projector here; ``tomoprior.Projector`` is one."""

    geometry: Geometry

    @property
    def domain_shape(self) -> tuple[int, int, int]:
        """``(nz, ny, nx)``."""

    @property
    def T(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """The adjoint."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Line integrals."""
        ...


@dataclass
class Measurement:
    """``y = A u + offset per tilt + noise`` in the prior's units: of one series, or of a batch that shares its geometry.

    Attributes
    ----------
    A
        The projector on the padded grid.
    y
        Line integrals of ``u``, ``(..., n_angles, ny, nu)``; zero where no used ray is.
    w
        Inverse variances of ``y``, the same shape: noise, misalignment and the model's own error; 0 for rays that leave the
        grid.
    offset
        Variance of each tilt's own brightness, which the data cannot tell from density; of a batch ``(batch, 1, 1, 1)``.
    scale
        What takes ``u`` to densities.
    pad
        Voxels added on either side of x.
    coverage
        Share of the tilts that see a voxel, ``(nz, nx)`` of the padded grid.
    trust
        What each tilt's weights are multiplied by, ``(..., n_angles)``: 1, or less where it does not fit with the others.
    """

    A: LinearProjector
    y: torch.Tensor
    w: torch.Tensor
    offset: float | torch.Tensor
    scale: Scale
    pad: int
    coverage: torch.Tensor
    trust: torch.Tensor

    def weighted(self, r: torch.Tensor) -> torch.Tensor:
        """``W r``, with each tilt's brightness marginalised: the inverse of ``diag(1 / w) + offset 1 1^T`` (Woodbury)."""
        weight, total = self._weights
        wr = weight * r
        return wr.sub_(weight * (wr.sum((-2, -1), keepdim=True) / total))

    @cached_property
    def _weights(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights with the tilts' trust, and what a tilt's weighted sum is divided by."""
        weight = self.w * self.trust[..., None, None]
        return weight, 1 / self.offset + weight.sum((-2, -1), keepdim=True)

    @cached_property
    def deviation(self) -> torch.Tensor:
        """Standard deviation of ``y``, brightness aside, as far as the tilts are trusted; 0 for rays that are not used."""
        deviation = torch.where(self.w > 0, self.w.clamp_min(1e-20).rsqrt(), torch.zeros_like(self.w))
        return deviation * self.trust.clamp_min(1e-3).rsqrt()[..., None, None]

    def squared_residual(self, u: torch.Tensor, projections: torch.Tensor, rows: slice = slice(None)) -> tuple[float, float]:
        """``||W^(1/2) (y - A u)||^2`` and, of one series' ``projections``, ``||W^(1/2) p||^2``, over some rows."""
        w = (self.w * self.trust[:, None, None])[:, rows]
        r = (self.y - self.A(u.contiguous()))[:, rows]
        p = projections[:, rows] / self.scale.gain
        return float((r * r * w).sum()), float((p * p * w).sum())

    def crop(self, x: torch.Tensor) -> torch.Tensor:
        """Back to the grid that was asked for."""
        return x if self.pad == 0 else x[..., self.pad : x.shape[-1] - self.pad]


def padding(geometry: Geometry) -> int:
    """Voxels beside the field of view that its rays cross: half the thickness times the steepest tangent, up to ``WIDEST``."""
    nz = geometry.shape[0]
    steepest = min(float(np.abs(geometry.angles).max()), math.radians(85))
    return math.ceil(min(nz / 2 * math.tan(steepest), WIDEST * nz))


def used_rays(geometry: Geometry, pad: int) -> torch.Tensor:
    """1 where a ray stays within the padded grid from face to face, shape ``range_shape``."""
    nz, _, nx = geometry.shape
    cos, tan = np.cos(geometry.angles)[:, None], np.tan(geometry.angles)[:, None]
    out = np.zeros(geometry.range_shape, np.float32)
    for group in geometry.slice_groups():
        u = np.arange(geometry.detector[1]) + 0.5 - geometry.detector[1] / 2 + geometry.offsets(int(group[0]))[:, None]
        across = np.abs(u) / np.maximum(np.abs(cos), 1e-6) + nz / 2 * np.abs(tan)
        # half a voxel for the width of a ray
        out[:, group] = (across + 0.5 <= nx / 2 + pad)[:, None, :]
    return torch.from_numpy(out)


def noise_variance(projections: torch.Tensor) -> torch.Tensor:
    """Variance of each tilt's white noise, ``(..., n_angles)``.

    From the mean absolute response to a difference of Laplacians, which smooth pictures hardly have (Immerkaer, CVIU 64 (1996)
    300, eq. 4); fine structure adds to it, so it is an upper bound.
    """
    p = projections.double()
    d = p[..., 2:, :] - 2 * p[..., 1:-1, :] + p[..., :-2, :]
    d = d[..., 2:] - 2 * d[..., 1:-1] + d[..., :-2]
    sigma = math.sqrt(math.pi / 2) / 6 * d.abs().mean((-2, -1))
    return sigma.square().float()


def prepare(
    projections: torch.Tensor,
    projector: Projector,
    spectrum: Spectrum,
    *,
    weights: torch.Tensor | None = None,
    shift_std: float = 0.5,
    offset_std: float = 0.05,
    scale: Scale | None = None,
    thickness: float | None = None,
) -> Measurement:
    """Lay out a series for the prior.

    Parameters
    ----------
    projections, weights
        As every method takes them. Weights are inverse variances up to a factor, which the noise found in the tilts settles.
    spectrum
        Of the tissue, in the prior's units.
    shift_std
        Standard deviation of the tilts' shifts that alignment left, pixels.
    offset_std
        Standard deviation of each tilt's brightness, as a share of the mean line integral.
    scale
        By default measured here; slabs of one volume share one.
    thickness
        Of the section in voxels, as far as it is known; by default it fills the grid.

    Raises
    ------
    InputError
        For shapes that do not fit, or tilts without contrast.
    """
    arguments.check_projections(projections, projector)
    given = arguments.expand_weights(weights, projector)
    geometry, device = projector.geometry, projections.device
    pad = padding(geometry)
    A = projector.with_geometry(geometry.padded(pad))
    valid = used_rays(geometry, pad).to(device)
    if given is not None:
        counted = given.expand(projections.shape) > 0
        projections, valid = fill_uncounted(projections, counted), valid * counted
    noise = noise_variance(projections).clamp_min(1e-6 * float(projections.var().clamp_min(1e-20)))
    if scale is None:
        scale = scales.measure(projections, valid, noise, geometry, spectrum, thickness)
    variance = noise[:, None, None].expand(projections.shape).clone()
    if given is not None:
        known = given.expand(projections.shape)
        level = torch.median(noise[:, None, None].expand_as(known)[counted] * known[counted])
        variance = torch.where(counted, level / known.clamp_min(1e-30), variance)
    mass = scale.mean * (geometry.shape[0] if thickness is None else thickness)
    return lay_out(projections, geometry, A, valid, variance, scale, mass, shift_std=shift_std, offset_std=offset_std)


def lay_out(
    projections: torch.Tensor,
    geometry: Geometry,
    A: LinearProjector,
    valid: torch.Tensor,
    variance: torch.Tensor,
    scale: Scale,
    mass: float | torch.Tensor,
    *,
    shift_std: float = 0.5,
    offset_std: float = 0.05,
) -> Measurement:
    """A series, or a batch of series that share ``geometry``, in the prior's units.

    Parameters
    ----------
    projections, variance
        Line integrals and the variance of their noise, ``(..., n_angles, ny, nu)``; ``variance`` is changed.
    A
        The projector on the grid padded by ``padding(geometry)``.
    valid
        1 where a ray is used, ``(n_angles, ny, nu)``.
    mass
        Mean line integral along z.
    """
    device = projections.device
    nz = geometry.shape[0]
    variance += shift_std**2 * gradient_power(projections)
    sample = projections.flatten(-2)[..., :: max(1, math.prod(projections.shape[-2:]) // 4096)]
    low, high = torch.quantile(sample, torch.tensor([0.02, 0.98], device=device), dim=-1)
    variance += (FLOOR * (high - low))[..., None, None] ** 2
    cos = torch.from_numpy(np.cos(geometry.angles).astype(np.float32)).abs().to(device)[:, None, None]
    background = scale.mean * nz / cos.clamp_min(1e-3)
    layout = A(A.T(torch.zeros_like(projections)))
    y = copy_in_layout(layout, (projections - background) / scale.gain * valid)
    w = copy_in_layout(layout, valid * scale.gain**2 / variance)
    offset = (offset_std * mass / scale.gain) ** 2 + 1e-6
    trust = torch.ones(projections.shape[:-2], device=device)
    return Measurement(A, y, w, offset, scale, (A.domain_shape[2] - geometry.shape[2]) // 2, coverage(A, valid), trust)


def coverage(A: LinearProjector, valid: torch.Tensor) -> torch.Tensor:
    """Share of the tilts that see a voxel, ``(nz, nx)`` of the projector's grid: the middle row's stands for all."""
    seen = A.T((valid > 0).float()).clamp(min=0)
    return (seen[:, seen.shape[1] // 2] / len(valid)).clamp(max=1.0)


def fill_uncounted(projections: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """The others in place of what does not count: the mean of its tilt's, or of all if it has none."""
    sums = torch.where(counted, projections, 0.0).sum((1, 2), keepdim=True)
    counts = counted.sum((1, 2), keepdim=True)
    means = torch.where(counts > 0, sums / counts.clamp_min(1), sums.sum() / counts.sum())
    return torch.where(counted, projections, means)


def gradient_power(projections: torch.Tensor) -> torch.Tensor:
    """``|grad p|^2`` of the smoothed tilts: variance per squared pixel of a random shift along both axes."""
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=projections.device) / 16
    p = pad_edges(projections.reshape(-1, 1, *projections.shape[-2:]), (2, 2, 2, 2), mode="replicate")
    p = torch.nn.functional.conv2d(p, kernel.view(1, 1, 5, 1))
    p = torch.nn.functional.conv2d(p, kernel.view(1, 1, 1, 5))[:, 0]
    dy, dx = torch.gradient(p, dim=(1, 2))
    return dy.square_().add_(dx.square_()).view(projections.shape)
