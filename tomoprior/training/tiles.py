"""Tiles to train on, cut from draws and mirrored: the same for the same seed and step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tomoprior.methods.diffusion.denoiser import depths, in_tile
from tomoprior.training.draws import Draw
from tomoprior.training.settings import TrainingSettings

#: Standard deviation of what is added to a draw's numbers: as they are, they name it, and the network would learn its section
#: by heart instead of looking.
JITTER = 0.05


@dataclass(frozen=True, eq=False)
class Batch:
    """Arguments of the denoiser, and what it should say; shapes as in ``Denoiser.forward``."""

    truth: torch.Tensor
    noisy: torch.Tensor
    sigma: torch.Tensor
    linear: torch.Tensor
    depth: torch.Tensor
    coverage: torch.Tensor
    numbers: torch.Tensor
    told: torch.Tensor


def batch(draws: list[Draw], settings: TrainingSettings, step: int) -> Batch:
    """The tiles of a step."""
    rng = np.random.default_rng([settings.seed, 2**32 - 1, step])
    tiles = [_tile(draws[int(rng.integers(len(draws)))], settings.tile_shape, rng) for _ in range(settings.batch)]
    truth, linear, coverage, numbers, depth = (torch.stack([tile[i] for tile in tiles]) for i in range(5))
    mean, spread = settings.log_sigma
    sigma = torch.from_numpy(np.exp(mean + spread * rng.standard_normal(settings.batch)).astype(np.float32)).clamp(0.005, 100)
    told = torch.from_numpy((rng.random(settings.batch) >= settings.drop).astype(np.float32))
    numbers = numbers + JITTER * torch.from_numpy(rng.standard_normal(numbers.shape, dtype=np.float32))
    noise = torch.from_numpy(rng.standard_normal(truth.shape, dtype=np.float32))
    noisy = truth + sigma[:, None, None, None] * noise * (depth.abs() < 1)[:, :, None, None]
    return Batch(truth, noisy, sigma, linear, depth, coverage, numbers, told)


def _tile(draw: Draw, size: tuple[int, int, int], rng: np.random.Generator) -> tuple[torch.Tensor, ...]:
    """Truth, linear estimate, coverage, numbers and depth of a random tile, mirrored at random.

    Tissue has no handedness here, and mirrored along x or z a series is one with its angles negated.
    """
    nz, ny, nx = draw.truth.shape
    height, rows, columns = size
    # where hardly a tilt looks there is little to learn: tiles lie within the voxels that half of the tilts see, or nearly
    seen = (draw.condition.coverage.mean(0) > 0.3).nonzero()[:, 0]
    low = max(0, int(seen.min()) - columns // 3) if len(seen) else 0
    high = min(nx, int(seen.max()) + 1 + columns // 3) if len(seen) else nx
    x = int(rng.integers(low, max(low, high - columns) + 1))
    x = min(x, nx - columns)
    y = int(rng.integers(0, ny - rows + 1))
    box = (slice(None), slice(y, y + rows), slice(x, x + columns))
    truth, part = draw.truth[box].float(), draw.condition.tile(box)
    linear, coverage, numbers = part.linear.float(), part.coverage.float(), part.numbers.clone()
    flips = [bool(b) for b in rng.integers(0, 2, 3)]
    axes = [axis for axis, flip in enumerate(flips) if flip]
    if axes:
        truth, linear = truth.flip(axes), linear.flip(axes)
        coverage = coverage.flip([{0: 0, 2: 1}[a] for a in axes if a != 1])
    if flips[0] != flips[2]:
        numbers[0], numbers[1] = -numbers[1].clone(), -numbers[0].clone()
    return in_tile(truth, height), in_tile(linear, height), in_tile(coverage, height), numbers, depths(nz, height)
