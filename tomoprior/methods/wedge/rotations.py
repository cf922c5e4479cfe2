"""The 24 rotations of a cube, exact on voxels, and those that show what the missing wedge hides."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.metrics.regions import measured_region

#: An informative rotation shows at least this share of what the best rotation could show of the missing wedge.
USEFUL = 0.1
#: Edge of the Fourier grid for counting this share: odd, so that every frequency has its opposite.
GRID = 33


@dataclass(frozen=True)
class Rotation:
    """An order of the axes, and the axes that are reversed afterwards."""

    order: tuple[int, int, int]
    reversed: tuple[int, ...]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Rotate a cube ``(n, n, n)``; the values of voxels do not change."""
        return x.permute(self.order).flip(self.reversed)

    def undo(self, x: torch.Tensor) -> torch.Tensor:
        """Rotate a cube back."""
        return x.flip(self.reversed).permute(tuple(int(i) for i in np.argsort(self.order)))


def cube_rotations() -> list[Rotation]:
    """Return all 24 rotations, the identity first."""
    rotations = []
    for a, b, c in permutations(range(3)):
        order = (a, b, c)
        inversions = sum(order[i] > order[j] for i in range(3) for j in range(i + 1, 3))
        for flips in product((False, True), repeat=3):
            reverse = tuple(i for i, f in enumerate(flips) if f)
            if (inversions + len(reverse)) % 2 == 0:  # proper rotations: the others would mirror the specimen
                rotations += [Rotation(order, reverse)]
    return rotations


def informative_rotations(angles: NDArray[np.float64]) -> list[Rotation]:
    """Return the rotations that do not map the wedge onto itself: the rotated volume measured what the wedge hides.

    Parameters
    ----------
    angles
        Tilts in radians, shape ``(n_angles,)``.

    Returns
    -------
    20 rotations for a range that is symmetric about 0, as in Liu et al. 2022. For other ranges half turns about x and z are
    included if they show something. The list is empty if no direction is missing.
    """
    present = _full_region(measured_region((GRID, GRID, GRID), angles, mode="wedge"))
    missing = ~present
    if not missing.any():
        return []
    most = min(1.0, float(present.sum() / missing.sum()))
    measured = torch.from_numpy(present)
    shares = {r: float((r(measured).numpy() & missing).sum() / missing.sum()) for r in cube_rotations()}
    return [r for r, share in shares.items() if share >= USEFUL * most]


def _full_region(half: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a region of ``rfftn`` on all frequencies of a cube, zero in the centre, about which rotations turn."""
    opposite = np.roll(half[::-1, ::-1], (1, 1), (0, 1))[..., :0:-1]
    return np.asarray(np.fft.fftshift(np.concatenate([half, opposite], -1)))
