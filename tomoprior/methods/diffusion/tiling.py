"""The denoiser on a whole volume: tiles of the trained size, blended."""

from __future__ import annotations

import torch

from tomoprior.methods.diffusion.denoiser import BLIND, Condition, Denoiser, depths, in_tile
from tomoprior.methods.diffusion.prior import network_dtype
from tomoprior.methods.learning.tiles import Box, blend, mirror_indices

#: Voxels that neighbouring tiles share.
OVERLAP = 16

#: Edge of a tile along y and x: the network has no place but along z, so that it may see more at once than it was trained on.
EDGE = 128

#: Voxels on either side along y and x that the network sees beyond a volume, as its mirror image: it knows little at a tile's
#: border.
MARGIN = 8

#: A volume of up to this edge is one tile.
WHOLE = 176

#: Tiles at once.
BATCH = 1


def tile_edges(shape: tuple[int, int, int], tile: tuple[int, int, int], multiple: tuple[int, int, int]) -> tuple[int, int, int]:
    """Size of a volume's tiles, for a network trained on ``tile`` whose edges are multiples of ``multiple``."""
    sizes = []
    for n, trained, step in zip(shape[1:], tile[1:], multiple[1:], strict=True):
        edge = n if n <= WHOLE else EDGE
        sizes.append(max(trained, -(-edge // step) * step))
    return (tile[0], sizes[0], sizes[1])


class TiledDenoiser:
    """``D(x, sigma)`` for volumes of any size.

    In a grid thinner than the tile the network sees zeros outside; a thicker one is tiled along z too.
    """

    def __init__(self, denoiser: Denoiser, tile: tuple[int, int, int], condition: Condition, *, told: bool = True) -> None:
        self.denoiser, self.told = denoiser, told
        self.shape = condition.linear.shape
        nz, ny, nx = self.shape
        device = condition.linear.device
        wide = (nz, ny + 2 * MARGIN, nx + 2 * MARGIN)
        self.tile = tile_edges(wide, tile, denoiser.unet.multiple)
        self._y, self._x = (
            mirror_indices(n, max(w, t), device, MARGIN) for n, w, t in zip((ny, nx), wide[1:], self.tile[1:], strict=True)
        )
        coverage = in_tile(condition.coverage[:, self._x], tile[0])
        self.condition = Condition(self._grown(condition.linear), self._grown(condition.inside), coverage, condition.numbers)
        # of a thicker grid every tile is a piece from within, which the network knows as a grid that a section fills
        self._depth = depths(min(nz, tile[0]), tile[0], device)
        self._dtype = network_dtype(condition.linear.device)

    def mean(self, phase: tuple[float, float] = (0.0, 0.0)) -> torch.Tensor:
        """The mean of the clean volume given the conditions alone, ``(nz, ny, nx)``."""
        return self._cropped(self._denoised(torch.zeros_like(self.condition.linear), BLIND, phase))

    def mirrored_mean(self) -> torch.Tensor:
        """``mean``, averaged over the volume as it is and mirrored along y, and along x and z: all have the same tilts."""
        total = self.condition.linear.new_zeros(self.shape)
        ways = ((), (1,), (0, 2), (0, 1, 2))
        before = self.condition, self._depth
        try:
            for axes in ways:
                self.condition, self._depth = before
                if axes:
                    c = self.condition
                    coverage = c.coverage.flip([0, 1]) if 0 in axes else c.coverage
                    self.condition = Condition(c.linear.flip(axes), c.inside.flip(axes), coverage, c.numbers)
                if 0 in axes:  # the grid's middle may lie half a voxel off the tile's
                    self._depth = -self._depth.flip(0)
                total += self._cropped(self._denoised(torch.zeros_like(self.condition.linear), BLIND), axes)
        finally:
            self.condition, self._depth = before
        return total / len(ways)

    def __call__(self, x: torch.Tensor, sigma: float, phase: tuple[float, float] = (0.0, 0.0)) -> torch.Tensor:
        """Denoise ``(nz, ny, nx)``; ``phase`` says where the tiles' borders lie, from 0 to 1 along y and x."""
        return self._cropped(self._denoised(self._grown(x), sigma, phase))

    def _cropped(self, x: torch.Tensor, mirrored_axes: tuple[int, ...] = ()) -> torch.Tensor:
        """Of the grown volume, mirrored along some axes, what the grid holds."""
        x = x.flip(mirrored_axes) if mirrored_axes else x
        nz, ny, nx = self.shape
        first = max(0, (self.tile[0] - nz) // 2)
        return x[first : first + nz, MARGIN : MARGIN + ny, MARGIN : MARGIN + nx]

    def _denoised(self, wide: torch.Tensor, sigma: float, phase: tuple[float, float] = (0.0, 0.0)) -> torch.Tensor:
        """Of the grown volume."""

        def predict(boxes: list[Box]) -> torch.Tensor:
            parts = [self.condition.tile(box) for box in boxes]
            n = len(boxes)
            told = wide.new_full((n,), float(self.told))
            with torch.autocast(wide.device.type, torch.bfloat16, enabled=self._dtype == torch.bfloat16):
                found, _ = self.denoiser(
                    torch.stack([wide[box] for box in boxes]), wide.new_full((n,), sigma),
                    torch.stack([p.linear for p in parts]), torch.stack([p.inside for p in parts]), self._depth.expand(n, -1),
                    torch.stack([p.coverage for p in parts]), self.condition.numbers.expand(n, -1), told,
                )  # fmt: skip
            return found  # type: ignore[no-any-return]

        return blend(predict, wide.shape, self.tile, OVERLAP, phase, BATCH, wide.device)  # type: ignore[arg-type]

    def _grown(self, x: torch.Tensor) -> torch.Tensor:
        """As high as a tile, and wider by a margin and by what a tile needs, where it is its mirror image."""
        return in_tile(x[:, self._y][:, :, self._x], self.tile[0])
