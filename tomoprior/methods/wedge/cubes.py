"""Training cubes: cut from the volume, rotated, and filtered by the missing wedge again; the same for a seed and a step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.methods.wedge.region import Region
from tomoprior.methods.wedge.rotations import Rotation

#: Voxels on every side of a cube that the filter of the wedge sees and the network does not: the filter spreads them.
MARGIN = 8
#: Places tried for a cube whose centre lies in the mask, within the box around the mask.
TRIES = 256


@dataclass(frozen=True, eq=False)
class Batch:
    """Inputs of the network and their targets, both ``(batch, z, y, x)``, and the rotation of each target."""

    inputs: torch.Tensor
    target: torch.Tensor
    rotations: list[Rotation]


class Cubes:
    """Random cubes of a volume.

    Parameters
    ----------
    region
        Frequencies that the tilts measured.
    rotations
        Rotations to choose from.
    size
        Voxels along the edge of a cube.
    inside
        Mask for the centres of cubes: 0 or 1, broadcasts over the volume.
    """

    def __init__(self, region: Region, rotations: list[Rotation], size: int, inside: torch.Tensor) -> None:
        self.region, self.rotations, self.size = region, rotations, size
        self.edge = size + 2 * MARGIN
        self.inside = inside.cpu().numpy() > 0
        self.box = [_extent(self.inside, axis) for axis in range(3)]

    def batch(self, volume: torch.Tensor, count: int, rng: np.random.Generator, noise: float) -> Batch:
        """Return ``count`` cubes of a volume ``(nz, ny, nx)``, no axis of which is shorter than ``edge``.

        Of two halves ``(2, nz, ny, nx)``, whose noise is independent, one is the input and the other the target, in random
        order: the best prediction then has no noise (Lehtinen et al., ICML 2018).

        ``noise`` is the standard deviation of the noise added to the inputs, in the unit of the volume. The noise has the
        spectrum of filtered back-projections of white noise: its power rises with the distance from the tilt axis.
        """
        rotations = [self.rotations[int(rng.integers(len(self.rotations)))] for _ in range(count)]
        pieces = [self._cut(volume, rng) for _ in rotations]
        if volume.ndim == 4:
            pairs = [r(half) for r, p in zip(rotations, pieces, strict=True) for half in (p.flip(0) if rng.integers(2) else p)]
            whole, target = torch.stack(pairs[0::2]), torch.stack(pairs[1::2])
        else:
            whole = target = torch.stack([r(p) for r, p in zip(rotations, pieces, strict=True)])
        seed = int(rng.integers(2**62))
        middle = (slice(None), *3 * (slice(MARGIN, MARGIN + self.size),))
        spectrum = self.region.spectrum(whole)
        if noise > 0:
            spectrum += self._noise(whole, seed).mul_(noise)
        spectrum *= self.region.mask(self.edge, self.edge)
        inputs = self.region.inverse(spectrum, self.edge, self.edge)[middle]
        return Batch(inputs.contiguous(), target[middle].contiguous(), rotations)

    def _cut(self, volume: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        half, last = self.edge // 2, [n - self.edge for n in volume.shape[-3:]]
        # first voxels for which the centre lies in the box, as far as the ends of the volume allow
        ranges = [
            (0, m) if box is None else (min(max(box[0] - half, 0), m), min(max(box[1] - half, 0), m))
            for box, m in zip(self.box, last, strict=True)
        ]
        for _ in range(TRIES):
            at = [int(rng.integers(low, high + 1)) for low, high in ranges]
            centre = tuple(min(a + half, m - 1) for a, m in zip(at, self.inside.shape, strict=True))
            if self.inside[centre]:
                break
        z, y, x = at
        return volume[..., z : z + self.edge, y : y + self.edge, x : x + self.edge]

    def _noise(self, like: torch.Tensor, seed: int) -> torch.Tensor:
        """Return the spectrum of noise with a standard deviation of 1, before the wedge is removed."""
        white = torch.randn(like.shape, generator=torch.Generator().manual_seed(seed)).to(like)
        k = torch.fft.fftfreq(self.edge, device=like.device)
        radius = torch.sqrt(k[:, None, None] ** 2 + torch.fft.rfftfreq(self.edge, device=like.device) ** 2)
        gain = radius.sqrt()
        plane = torch.sqrt(k[:, None, None] ** 2 + k**2)  # the whole plane: its mean is the remaining power
        return self.region.spectrum(white) * (gain / plane.mean().sqrt())


def _extent(inside: NDArray[np.bool_], axis: int) -> tuple[int, int] | None:
    """Return the first and last place along an axis where the mask is not empty; None for an axis of length 1."""
    if inside.shape[axis] == 1:
        return None
    at = np.flatnonzero(inside.any(axis=tuple(i for i in range(3) if i != axis)))
    return int(at[0]), int(at[-1])
