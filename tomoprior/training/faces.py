"""Knowledge of a section's faces for training: the grid alone, an estimate as from tilts, or the exact faces."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from numpy.random import Generator

from tomoprior.methods.diffusion.section import compute_expected_profile

#: Shares of the series with exact faces, and with unknown faces; for the others the faces are estimated.
EXACT, UNKNOWN = 0.2, 0.15

#: Prior mean and standard deviation of the thickness of a section, as shares of the grid.
EXPECTED = (0.85, 0.15)

#: Smallest and largest standard deviation, in voxels, of an estimate of thickness and of centre; log-uniform between them.
ESTIMATED_THICKNESS, ESTIMATED_CENTRE = (0.3, 6.0), (0.2, 4.0)

#: Expected standard deviation of a face about its mean height, voxels.
ROUGHNESS = 0.8


@dataclass(frozen=True)
class Faces:
    """Knowledge of a section.

    Attributes
    ----------
    inside
        Probability that a voxel lies inside, ``(nz, ny, nx)`` or what broadcasts to it.
    thickness
        Expected thickness in voxels.
    face_std
        Standard deviation of the mean height of a face in voxels.
    """

    inside: torch.Tensor
    thickness: float
    face_std: float


def draw_faces(inside: torch.Tensor, low: float, high: float, pad: int, rng: Generator) -> Faces:
    """Return random knowledge of a section's faces: exact, estimated, or the grid alone.

    Parameters
    ----------
    inside
        Share of every voxel that lies inside, on the padded grid ``(nz, ny, nx)``.
    low, high
        True mean heights of its faces in voxels.
    pad
        Voxels at either end of x outside the field of view; there, exact faces continue as at its edge.
    """
    nz, _, nx = inside.shape
    kind = rng.random()
    if kind < EXACT:
        seen = inside[..., pad : nx - pad]
        left, right = (seen[..., [i]].expand(*seen.shape[:-1], pad) for i in (0, -1))
        return Faces(torch.cat([left, seen, right], -1), high - low, 0.0)
    mean, spread = EXPECTED[0] * nz, EXPECTED[1] * nz
    centre_spread = max((nz - (high - low)) / 2, 0.05 * nz) / math.sqrt(3)  # of a centre that may lie anywhere in the grid
    if kind < EXACT + UNKNOWN:
        thickness, centre, thickness_std, centre_std = mean, nz / 2, spread, spread / 2
    else:
        thickness, thickness_std = _estimate(high - low, ESTIMATED_THICKNESS, mean, spread, rng)
        centre, centre_std = _estimate((low + high) / 2, ESTIMATED_CENTRE, nz / 2, centre_spread, rng)
    thickness = min(thickness, float(nz))
    face_std = math.hypot(centre_std, thickness_std / 2)
    std = math.hypot(face_std, ROUGHNESS)
    profile = compute_expected_profile(nz, centre - thickness / 2, centre + thickness / 2, std, std)
    return Faces(profile[:, None, None].to(inside.device), thickness, face_std)


def _estimate(value: float, stds: tuple[float, float], expected: float, spread: float, rng: Generator) -> tuple[float, float]:
    """Return mean and standard deviation of a normal posterior, for a measurement with one of ``stds`` and a prior."""
    std = stds[0] * (stds[1] / stds[0]) ** rng.random()
    seen = value + std * rng.standard_normal()
    weight, prior = 1 / std**2, 1 / spread**2
    return (weight * seen + prior * expected) / (weight + prior), 1 / math.sqrt(weight + prior)
