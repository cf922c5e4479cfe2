"""From the user's grid to the prior's, which is as thick as its tiles, and back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from tomoprior.geometry import Geometry


@dataclass(frozen=True)
class PriorGrid:
    """The same rays on a grid of the prior's height and unit; ``first`` and ``nz`` say where the user's voxels lie in it."""

    geometry: Geometry
    first: int
    nz: int

    def crop(self, x: torch.Tensor) -> torch.Tensor:
        """The user's part of a volume on the prior's grid."""
        return x[self.first : self.first + self.nz]


def onto_prior_grid(geometry: Geometry, height: int, voxel_size: float, unit: str) -> PriorGrid:
    """The prior's grid around the user's: voxels coincide.

    Where one number of voxels is even and the other odd, the two middles lie half a voxel apart; a step of half a voxel along
    the beam moves a tilt's picture by ``sin(theta) / 2``, which goes into the shifts.
    """
    nz = geometry.shape[0]
    first = (height - nz) // 2
    aside = (height - 1) / 2 - first - (nz - 1) / 2  # what the prior's middle lies below the user's, in voxels
    shifts = geometry.shifts
    if aside:
        moved = np.zeros((geometry.n_angles, 2)) if shifts is None else shifts.copy()
        moved[:, 1] -= aside * np.sin(geometry.angles)
        shifts = moved
    wide = replace(geometry.with_thickness(height), shifts=shifts, voxel_size=voxel_size, unit=unit)
    return PriorGrid(wide, first, nz)
