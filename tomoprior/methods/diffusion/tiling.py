"""The denoiser on a whole volume: tiles of the trained size, blended."""

from __future__ import annotations

import torch

from tomoprior.methods.diffusion.denoiser import Condition, Denoiser, depths, in_tile
from tomoprior.methods.diffusion.prior import network_dtype
from tomoprior.methods.diffusion.tiles import Box, blend
from tomoprior.methods.mirrored import mirrored

#: Voxels that neighbouring tiles share.
OVERLAP = 8

#: Tiles at once.
BATCH = 2


class TiledDenoiser:
    """``D(x, sigma)`` for volumes of any width, at most as thick as the tile: outside the grid the network sees zeros."""

    def __init__(self, denoiser: Denoiser, tile: tuple[int, int, int], condition: Condition, *, told: bool = True) -> None:
        self.denoiser, self.tile, self.told = denoiser, tile, told
        self.shape = condition.linear.shape
        nz, ny, nx = self.shape
        device = condition.linear.device
        if nz > tile[0]:
            raise ValueError(f"{nz} voxels are more than the tile's {tile[0]}")
        self._y, self._x = (mirrored(n, max(n, t), device) for n, t in ((ny, tile[1]), (nx, tile[2])))
        coverage = in_tile(condition.coverage[:, self._x], tile[0])
        self.condition = Condition(self._grown(condition.linear), coverage, condition.numbers)
        self._first = (tile[0] - nz) // 2
        self._depth = depths(nz, tile[0], device)
        self._dtype = network_dtype(condition.linear.device)

    def __call__(self, x: torch.Tensor, sigma: float, phase: tuple[float, float] = (0.0, 0.0)) -> torch.Tensor:
        """Denoise ``(nz, ny, nx)``; ``phase`` says where the tiles' borders lie, from 0 to 1 along y and x."""
        wide = self._grown(x)

        def predict(boxes: list[Box]) -> torch.Tensor:
            parts = [self.condition.tile(box) for box in boxes]
            n = len(boxes)
            told = wide.new_full((n,), float(self.told))
            with torch.autocast(wide.device.type, torch.bfloat16, enabled=self._dtype == torch.bfloat16):
                found: torch.Tensor = self.denoiser(
                    torch.stack([wide[box] for box in boxes]), wide.new_full((n,), sigma),
                    torch.stack([p.linear for p in parts]), self._depth.expand(n, -1), torch.stack([p.coverage for p in parts]),
                    self.condition.numbers.expand(n, -1), told,
                )  # fmt: skip
            return found

        out = blend(predict, wide.shape, self.tile, OVERLAP, phase, BATCH, wide.device)  # type: ignore[arg-type]
        nz, ny, nx = self.shape
        return out[self._first : self._first + nz, :ny, :nx]

    def _grown(self, x: torch.Tensor) -> torch.Tensor:
        """As high as a tile, and at least as wide along y and x, where it goes on as its mirror image."""
        if len(self._y) > x.shape[1]:
            x = x[:, self._y]
        if len(self._x) > x.shape[2]:
            x = x[:, :, self._x]
        return in_tile(x, self.tile[0])
