"""What is known of a section's faces: nothing but the grid, as much as tilts tell, or all of it; each for training to see."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from numpy.random import Generator

from tomoprior.methods.diffusion.section import compute_expected_profile

#: Shares of the series of which the faces are given, and of which nothing is known; of the others they are found.
GIVEN, UNKNOWN = 0.2, 0.15

#: What is expected of a section before any tilt is seen: mean and standard deviation of its thickness as shares of the grid.
EXPECTED = (0.85, 0.15)

#: Standard deviations, in voxels, with which thickness and centre are found: from the lowest to the highest, logarithmic.
FOUND_THICKNESS, FOUND_CENTRE = (0.3, 6.0), (0.2, 4.0)

#: Standard deviation of a face about its mean height that is expected, voxels.
ROUGHNESS = 0.8


@dataclass(frozen=True)
class Faces:
    """A section as far as it is known.

    Attributes
    ----------
    inside
        Probability that a voxel lies inside, ``(nz, ny, nx)`` or what broadcasts to it.
    thickness
        Expected, in voxels.
    face_std
        Standard deviation of a face's mean height, voxels.
    """

    inside: torch.Tensor
    thickness: float
    face_std: float


def draw_faces(inside: torch.Tensor, low: float, high: float, pad: int, rng: Generator) -> Faces:
    """What someone may know of a section.

    Parameters
    ----------
    inside
        Share of every voxel that lies inside, on the padded grid ``(nz, ny, nx)``.
    low, high
        True mean heights of its faces in voxels.
    pad
        Voxels at either end of x that lie beside the field of view: of given faces they go on as at its edge.
    """
    nz, _, nx = inside.shape
    kind = rng.random()
    if kind < GIVEN:
        seen = inside[..., pad : nx - pad]
        left, right = (seen[..., [i]].expand(*seen.shape[:-1], pad) for i in (0, -1))
        return Faces(torch.cat([left, seen, right], -1), high - low, 0.0)
    mean, spread = EXPECTED[0] * nz, EXPECTED[1] * nz
    room = max((nz - (high - low)) / 2, 0.05 * nz) / math.sqrt(3)  # of a centre that may lie anywhere in the grid
    if kind < GIVEN + UNKNOWN:
        thickness, centre, thickness_std, centre_std = mean, nz / 2, spread, spread / 2
    else:
        thickness, thickness_std = _found(high - low, FOUND_THICKNESS, mean, spread, rng)
        centre, centre_std = _found((low + high) / 2, FOUND_CENTRE, nz / 2, room, rng)
    thickness = min(thickness, float(nz))
    face_std = math.hypot(centre_std, thickness_std / 2)
    std = math.hypot(face_std, ROUGHNESS)
    profile = compute_expected_profile(nz, centre - thickness / 2, centre + thickness / 2, std, std)
    return Faces(profile[:, None, None].to(inside.device), thickness, face_std)


def _found(value: float, stds: tuple[float, float], expected: float, spread: float, rng: Generator) -> tuple[float, float]:
    """Mean and standard deviation of a normal posterior, of a measurement with one of ``stds`` and what was expected."""
    std = stds[0] * (stds[1] / stds[0]) ** rng.random()
    seen = value + std * rng.standard_normal()
    weight, prior = 1 / std**2, 1 / spread**2
    return (weight * seen + prior * expected) / (weight + prior), 1 / math.sqrt(weight + prior)
