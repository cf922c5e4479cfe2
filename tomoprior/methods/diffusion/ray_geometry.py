"""Which rays of a series the padded grid holds, and how many tilts see each voxel."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch

from tomoprior.geometry import Geometry

#: Largest padding on either side, as a multiple of the thickness. Steeper rays are used only where they stay within it.
MAX_PADDING = 1.5


class LinearProjector(Protocol):
    """The part of a projector that the method needs; ``tomoprior.Projector`` has it."""

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


def compute_padding(geometry: Geometry) -> int:
    """Return the padding on either side of x, in voxels, that holds the rays of the field of view.

    It is half the thickness times the tangent of the steepest tilt, and at most ``MAX_PADDING`` times the thickness.
    """
    nz = geometry.shape[0]
    steepest = min(float(np.abs(geometry.angles).max()), math.radians(85))
    return math.ceil(min(nz / 2 * math.tan(steepest), MAX_PADDING * nz))


def mark_used_rays(geometry: Geometry, pad: int) -> torch.Tensor:
    """Return 1 where a ray stays within the padded grid from face to face, else 0; shape ``range_shape``."""
    nz, _, nx = geometry.shape
    cos, tan = np.cos(geometry.angles)[:, None], np.tan(geometry.angles)[:, None]
    out = np.zeros(geometry.range_shape, np.float32)
    for group in geometry.slice_groups():
        u = np.arange(geometry.detector[1]) + 0.5 - geometry.detector[1] / 2 + geometry.offsets(int(group[0]))[:, None]
        across = np.abs(u) / np.maximum(np.abs(cos), 1e-6) + nz / 2 * np.abs(tan)
        # a ray is one voxel wide, so that half a voxel is added
        out[:, group] = (across + 0.5 <= nx / 2 + pad)[:, None, :]
    return torch.from_numpy(out)


def compute_coverage(A: LinearProjector, valid: torch.Tensor) -> torch.Tensor:
    """Return the share of the tilts that see each voxel, ``(nz, nx)`` of the projector's grid.

    It is computed for the middle row and used for all rows.
    """
    seen = A.T((valid > 0).float()).clamp(min=0)
    return (seen[:, seen.shape[1] // 2] / len(valid)).clamp(max=1.0)
