"""The denoiser on a whole volume: overlapping tiles whose results are blended."""

from __future__ import annotations

from collections.abc import Callable

import torch

from tomoprior.methods.diffusion.denoiser import (
    BLIND_SIGMA,
    Condition,
    Denoiser,
    compute_depths,
    crop_from_height,
    pad_to_height,
)
from tomoprior.methods.diffusion.error_network import ErrorNetwork
from tomoprior.methods.diffusion.prior import choose_network_dtype
from tomoprior.methods.learning.tiles import Box, blend, mirror_indices

#: Voxels that neighbouring tiles share.
OVERLAP = 16

#: Edge of a tile along y and x. The network knows no position along y and x, so that a tile may be larger than in training.
TILE_EDGE = 128

#: Voxels of mirror image around a volume along y and x: the network predicts poorly at a tile's border.
MARGIN = 8

#: Largest edge along y and x that is one tile.
MAX_SINGLE_TILE = 176

#: Tiles per pass of the network.
BATCH = 1


def choose_tile_shape(
    shape: tuple[int, int, int], tile: tuple[int, int, int], multiple: tuple[int, int, int]
) -> tuple[int, int, int]:
    """Return the shape of a volume's tiles.

    Parameters
    ----------
    shape
        Shape of the volume with its margins, ``(z, y, x)``.
    tile
        Shape of the tiles in training.
    multiple
        The edges are multiples of this.
    """
    sizes = []
    for n, trained, step in zip(shape[1:], tile[1:], multiple[1:], strict=True):
        edge = n if n <= MAX_SINGLE_TILE else TILE_EDGE
        sizes.append(max(trained, -(-edge // step) * step))
    return (tile[0], sizes[0], sizes[1])


class TiledDenoiser:
    """``D(x, sigma)`` for volumes of any size.

    A grid thinner than a tile is padded with zeros along z; a thicker grid is tiled along z too.

    Parameters
    ----------
    tile
        Shape of the tiles in training, ``(z, y, x)``.
    condition
        The condition on the whole grid.
    conditioned
        False for the unconditional prior: the network does not use the series.
    """

    def __init__(
        self, denoiser: Denoiser, tile: tuple[int, int, int], condition: Condition, *, conditioned: bool = True
    ) -> None:
        self.denoiser, self.conditioned = denoiser, conditioned
        self.shape = condition.linear.shape
        nz, ny, nx = self.shape
        device = condition.linear.device
        padded = (nz, ny + 2 * MARGIN, nx + 2 * MARGIN)
        self.tile = choose_tile_shape(padded, tile, denoiser.unet.multiple)
        self._y, self._x = (
            mirror_indices(n, max(w, t), device, MARGIN) for n, w, t in zip((ny, nx), padded[1:], self.tile[1:], strict=True)
        )
        coverage = pad_to_height(condition.coverage[:, self._x], tile[0])
        self.condition = Condition(self._pad(condition.linear), self._pad(condition.inside), coverage, condition.numbers)
        # each tile of a thicker grid looks to the network like a grid that the section fills
        self._depth = compute_depths(min(nz, tile[0]), tile[0], device)
        self._dtype = choose_network_dtype(condition.linear.device)

    def mean(self, phase: tuple[float, float] = (0.0, 0.0)) -> torch.Tensor:
        """Return the mean of the clean volume given the condition alone, ``(nz, ny, nx)``."""
        return self._crop(self._denoise_padded(torch.zeros_like(self.condition.linear), BLIND_SIGMA, phase))

    def mirrored_mean(self) -> torch.Tensor:
        """Return ``mean`` averaged over the volume and its mirror images along y, along x and z, and along all three axes.

        All four have the same tilts.
        """
        total = self.condition.linear.new_zeros(self.shape)
        mirror_images = ((), (1,), (0, 2), (0, 1, 2))
        before = self.condition, self._depth
        try:
            for axes in mirror_images:
                self.condition, self._depth = before
                if axes:
                    c = self.condition
                    coverage = c.coverage.flip([0, 1]) if 0 in axes else c.coverage
                    self.condition = Condition(c.linear.flip(axes), c.inside.flip(axes), coverage, c.numbers)
                if 0 in axes:  # the grid's middle may lie half a voxel off the tile's
                    self._depth = -self._depth.flip(0)
                denoised = self._denoise_padded(torch.zeros_like(self.condition.linear), BLIND_SIGMA)
                total += self._crop(denoised.flip(axes) if axes else denoised)
        finally:
            self.condition, self._depth = before
        return total / len(mirror_images)

    def estimate_error_variance(self, network: ErrorNetwork, mean: torch.Tensor) -> torch.Tensor:
        """Return the variance of the error of ``mean``, the clean volume's mean given the condition; both ``(nz, ny, nx)``."""
        padded = self._pad(mean)

        def predict(boxes: list[Box]) -> torch.Tensor:
            parts = [self.condition.tile(box) for box in boxes]
            with torch.autocast(padded.device.type, torch.bfloat16, enabled=self._dtype == torch.bfloat16):
                log_variance = network(
                    torch.stack([padded[box] for box in boxes]), torch.stack([p.linear for p in parts]),
                    torch.stack([p.inside for p in parts]), self._depth.expand(len(boxes), -1),
                    torch.stack([p.coverage for p in parts]), self.condition.numbers.expand(len(boxes), -1),
                )  # fmt: skip
            return log_variance.exp()  # type: ignore[no-any-return]

        return self._crop(self._blend(predict, padded))

    def __call__(self, x: torch.Tensor, sigma: float, phase: tuple[float, float] = (0.0, 0.0)) -> torch.Tensor:
        """Denoise ``(nz, ny, nx)``; ``phase`` places the tiles' borders, from 0 to 1 along y and x."""
        return self._crop(self._denoise_padded(self._pad(x), sigma, phase))

    def _pad(self, x: torch.Tensor) -> torch.Tensor:
        """Pad with mirror images along y and x to the margins or a whole tile, and with zeros along z to a tile's height."""
        return pad_to_height(x[:, self._y][:, :, self._x], self.tile[0])

    def _crop(self, x: torch.Tensor) -> torch.Tensor:
        """Return the part of a padded volume that the grid holds."""
        nz, ny, nx = self.shape
        return crop_from_height(x, nz)[:, MARGIN : MARGIN + ny, MARGIN : MARGIN + nx]

    def _denoise_padded(self, padded: torch.Tensor, sigma: float, phase: tuple[float, float] = (0.0, 0.0)) -> torch.Tensor:
        """Denoise a padded volume tile by tile."""

        def predict(boxes: list[Box]) -> torch.Tensor:
            parts = [self.condition.tile(box) for box in boxes]
            n = len(boxes)
            conditioned = padded.new_full((n,), float(self.conditioned))
            with torch.autocast(padded.device.type, torch.bfloat16, enabled=self._dtype == torch.bfloat16):
                clean, _ = self.denoiser(
                    torch.stack([padded[box] for box in boxes]), padded.new_full((n,), sigma),
                    torch.stack([p.linear for p in parts]), torch.stack([p.inside for p in parts]), self._depth.expand(n, -1),
                    torch.stack([p.coverage for p in parts]), self.condition.numbers.expand(n, -1), conditioned,
                )  # fmt: skip
            return clean  # type: ignore[no-any-return]

        return self._blend(predict, padded, phase)

    def _blend(
        self, predict: Callable[[list[Box]], torch.Tensor], padded: torch.Tensor, phase: tuple[float, float] = (0.0, 0.0)
    ) -> torch.Tensor:
        return blend(predict, padded.shape, self.tile, OVERLAP, phase, BATCH, padded.device)  # type: ignore[arg-type]
