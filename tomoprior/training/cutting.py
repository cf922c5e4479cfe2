"""Blocks of tissue on a device: at any place, in any orientation, in voxels of any size.

In torch for what ``tomoprior.simulate.tissue`` does in NumPy: a training cuts many blocks, on a GPU if there is one. Free
rotations exist here alone.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.random import Generator
from torch.nn import functional as F

from tomoprior.simulate.tissue import Tissue

#: Largest tissue in bytes, as float32, that is copied to the device; larger volumes are read block by block, without free
#: rotations.
BUDGET = 4 * 2**30

#: Largest share by which a freely turned block is stretched along each axis.
STRETCH = 0.1


class TissueBlocks:
    """Source of blocks of a tissue.

    Parameters
    ----------
    tissue
        Volume to cut from.
    device
        Device of the blocks.
    budget
        Most bytes that the whole volume may take there.
    """

    def __init__(self, tissue: Tissue, device: torch.device, budget: int = BUDGET) -> None:
        self.tissue, self.device = tissue, device
        self._whole: torch.Tensor | None = None
        if 4 * math.prod(tissue.grey.shape) <= budget:
            planes = [torch.from_numpy(tissue.density(np.asarray(plane))) for plane in tissue.grey]
            self._whole = torch.stack(planes).to(device)

    @property
    def can_turn(self) -> bool:
        """True if blocks can be turned freely."""
        return self._whole is not None

    def cut(self, shape: tuple[int, int, int], spacing: float, rng: Generator, *, turned: bool = False) -> torch.Tensor:
        """Return the density on a grid of ``shape`` whose voxels are ``spacing`` voxels of the tissue, ``(z, y, x)`` float32.

        Parameters
        ----------
        rng
            Source of the place and of one of the 48 orientations; with ``turned`` of any rotation, a mirror image and a slight
            stretch. Beyond its ends the volume continues as its mirror image.

        Raises
        ------
        InputError
            If the block is larger than the volume can fill by mirroring.
        """
        if self._whole is None:
            return torch.from_numpy(self.tissue.block(shape, spacing, rng)).to(self.device)
        if turned and spacing < 2:
            return self._turned(shape, spacing, rng)
        return self._straight(shape, spacing, rng)

    def _straight(self, shape: tuple[int, int, int], spacing: float, rng: Generator) -> torch.Tensor:
        assert self._whole is not None
        order, flips, factor, pieces = self.tissue.place(shape, spacing, rng)
        box = self._whole.permute(order)
        for axis, piece in enumerate(pieces):
            index = torch.from_numpy(piece[::-1].copy() if flips[axis] else piece).to(self.device)
            box = box.index_select(axis, index)
        if factor > 1:
            box = F.avg_pool3d(box[None], factor)[0]
        rest = spacing / factor
        if abs(rest - 1) > 1e-6:
            for axis, n in enumerate(shape):
                at = (torch.arange(n, device=self.device) + 0.5) * rest - 0.5
                low = at.floor()
                share = (at - low).view([-1 if i == axis else 1 for i in range(3)])
                below, above = (i.long().clamp(0, box.shape[axis] - 1) for i in (low, low + 1))
                box = torch.lerp(box.index_select(axis, below), box.index_select(axis, above), share)
        return box[: shape[0], : shape[1], : shape[2]].contiguous()

    def _turned(self, shape: tuple[int, int, int], spacing: float, rng: Generator) -> torch.Tensor:
        assert self._whole is not None
        sizes = np.array(self._whole.shape, dtype=float)
        turn, upper = np.linalg.qr(rng.standard_normal((3, 3)))
        turn = turn * np.sign(np.diag(upper))  # all rotations and mirror images are equally likely
        matrix = turn * spacing * (1 + STRETCH * rng.uniform(-1, 1, 3))
        middle = rng.uniform(0, 1, 3) * sizes
        # grid_sample takes x first, from -1 to 1 between the faces of the volume
        scaled = torch.from_numpy((matrix * 2 / sizes[:, None])[::-1].copy()).float().to(self.device)
        shift = torch.from_numpy((2 * middle / sizes - 1)[::-1].copy()).float().to(self.device)
        z, y, x = (torch.arange(n, device=self.device) - (n - 1) / 2 for n in shape)
        grid = (
            z[:, None, None, None] * scaled[:, 0]
            + y[None, :, None, None] * scaled[:, 1]
            + x[None, None, :, None] * scaled[:, 2]
        )
        out = F.grid_sample(self._whole[None, None], (grid + shift)[None], padding_mode="reflection", align_corners=False)
        return out[0, 0]
