"""The 24 rotations of a cube, exact on voxels, and which of them show what the wedge hides."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.metrics.fourier import measured_region

#: A rotation has to show at least this share of what the best one could show of the missing wedge.
USEFUL = 0.1
#: Edge of the Fourier grid on which that is counted: odd, so that every frequency has its opposite.
GRID = 33


@dataclass(frozen=True)
class Rotation:
    """An order of the axes and those that are reversed afterwards."""

    order: tuple[int, int, int]
    reversed: tuple[int, ...]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Rotate a cube ``(n, n, n)``; voxels stay as they are."""
        return x.permute(self.order).flip(self.reversed)

    def undo(self, x: torch.Tensor) -> torch.Tensor:
        """Rotate it back."""
        return x.flip(self.reversed).permute(tuple(int(i) for i in np.argsort(self.order)))


def cube_rotations() -> list[Rotation]:
    """All 24, the identity first."""
    found = []
    for a, b, c in permutations(range(3)):
        order = (a, b, c)
        inversions = sum(order[i] > order[j] for i in range(3) for j in range(i + 1, 3))
        for flips in product((False, True), repeat=3):
            reverse = tuple(i for i, f in enumerate(flips) if f)
            if (inversions + len(reverse)) % 2 == 0:  # proper ones: the others would mirror the specimen
                found += [Rotation(order, reverse)]
    return found


def informative_rotations(angles: NDArray[np.float64]) -> list[Rotation]:
    """Those that do not map the wedge onto itself: the rotated volume has measured what the wedge hides.

    Parameters
    ----------
    angles
        Tilts in radians, shape ``(n_angles,)``.

    Returns
    -------
    rotations
        20 for a range that is even about 0, as in Liu et al. 2022; for others the half turns about x and z count too as soon
        as they show something. Empty where nothing is missing.
    """
    present = _whole(measured_region((GRID, GRID, GRID), angles, mode="wedge"))
    missing = ~present
    if not missing.any():
        return []
    most = min(1.0, float(present.sum() / missing.sum()))
    seen = torch.from_numpy(present)
    shown = {r: float((r(seen).numpy() & missing).sum() / missing.sum()) for r in cube_rotations()}
    return [r for r, share in shown.items() if share >= USEFUL * most]


def _whole(half: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A region of ``rfftn`` on all of a cube's frequencies, zero in the middle, where rotations turn about it."""
    opposite = np.roll(half[::-1, ::-1], (1, 1), (0, 1))[..., :0:-1]
    return np.asarray(np.fft.fftshift(np.concatenate([half, opposite], -1)))
