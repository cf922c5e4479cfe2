"""The denoiser on a whole volume: tiles of the trained size, blended."""

from __future__ import annotations

import torch

from tomoprior.methods.diffusion.denoiser import Condition, Denoiser, depths
from tomoprior.methods.diffusion.prior import network_dtype
from tomoprior.methods.diffusion.tiles import Box, blend

#: Voxels that neighbouring tiles share.
OVERLAP = 8

#: Tiles at once.
BATCH = 2


class TiledDenoiser:
    """``D(x, sigma)`` for volumes of any width and depth, as thick as the tile."""

    def __init__(self, denoiser: Denoiser, tile: tuple[int, int, int], condition: Condition, *, told: bool = True) -> None:
        self.denoiser, self.tile, self.told = denoiser, tile, told
        self.shape = condition.linear.shape
        self._index = [_mirrored(n, max(n, t), condition.linear.device) for n, t in zip(self.shape, tile, strict=True)]
        self.condition = Condition(
            self._grown(condition.linear), condition.coverage[self._index[0]][:, self._index[2]], condition.numbers
        )
        self._depth = depths(tile[0], condition.linear.device)
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
                    torch.stack([p.linear for p in parts]), self._depth, torch.stack([p.coverage for p in parts]),
                    self.condition.numbers.expand(n, -1), told,
                )  # fmt: skip
            return found

        out = blend(predict, wide.shape, self.tile, OVERLAP, phase, BATCH, wide.device)  # type: ignore[arg-type]
        return out[: self.shape[0], : self.shape[1], : self.shape[2]]

    def _grown(self, x: torch.Tensor) -> torch.Tensor:
        """At least a tile along every axis, gone on as a mirror image."""
        if all(len(index) == n for index, n in zip(self._index, x.shape, strict=True)):
            return x
        return x[self._index[0]][:, self._index[1]][:, :, self._index[2]]


def _mirrored(n: int, length: int, device: torch.device) -> torch.Tensor:
    at = torch.arange(length, device=device) % (2 * n)
    return torch.where(at < n, at, 2 * n - 1 - at)
