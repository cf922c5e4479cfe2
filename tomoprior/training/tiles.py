"""Tiles to train on, cut from draws and mirrored: the same for the same seed and step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from tomoprior.methods.diffusion.denoiser import BLIND_SIGMA, compute_depths, pad_to_height
from tomoprior.training.draws import Draw
from tomoprior.training.settings import TrainingSettings

#: Standard deviation of what is added to a draw's numbers: as they are, they name it, and the network would learn its section
#: by heart instead of looking.
JITTER = 0.05

#: Lowest and highest noise level.
LEVELS = (0.01, 100.0)

#: Ways to mirror a tile along z, y and x.
MIRRORS = tuple(product((False, True), repeat=3))


@dataclass(frozen=True, eq=False)
class Batch:
    """Arguments of the denoiser, and what it should say; shapes as in ``Denoiser.forward``."""

    truth: torch.Tensor
    noisy: torch.Tensor
    sigma: torch.Tensor
    linear: torch.Tensor
    inside: torch.Tensor
    depth: torch.Tensor
    coverage: torch.Tensor
    numbers: torch.Tensor
    told: torch.Tensor


def cut_batch(draws: Sequence[Draw], blocks: Sequence[Draw], settings: TrainingSettings, step: int) -> Batch:
    """The tiles of a step, from draws with a series and from blocks without one, on the device where these are."""
    rng = np.random.default_rng([settings.seed, 2**32 - 1, step])
    device = (draws or blocks)[0].truth.device
    tiles, series = [], []
    for number in range(settings.batch):
        free = bool(blocks) and (not draws or rng.random() < settings.free)
        some = blocks if free else draws
        # neighbouring tiles of a batch are mirrored in turn, so that all ways occur
        series.append(not free)
        tiles.append(cut_tile(some[int(rng.integers(len(some)))], settings.tile_shape, rng, MIRRORS[(step + number) % 8]))
    truth, linear, inside, coverage, numbers, depth = (torch.stack([tile[i] for tile in tiles]) for i in range(6))
    mean, spread = settings.log_sigma
    n = settings.batch
    told = np.array(series) & (rng.random(n) >= settings.drop)
    level = np.exp(mean + spread * rng.standard_normal(n)).clip(*LEVELS)
    level = np.where(told & (rng.random(n) < settings.blind), BLIND_SIGMA, level)
    sigma, spoken = (_moved(v.astype(np.float32), device) for v in (level, told))
    generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
    numbers = numbers + JITTER * torch.randn(numbers.shape, generator=generator, device=device)
    noise = torch.randn(truth.shape, generator=generator, device=device)
    noisy = truth + sigma[:, None, None, None] * noise * (depth.abs() < 1)[:, :, None, None]
    return Batch(truth, noisy, sigma, linear, inside, depth, coverage, numbers, spoken)


def cut_tile(draw: Draw, size: tuple[int, int, int], rng: Generator, mirror: tuple[bool, ...]) -> tuple[torch.Tensor, ...]:
    """Truth, linear estimate, section, coverage, numbers and depth of a random tile.

    Tissue has no handedness here, and mirrored along x or z a series is one with its angles negated.
    """
    nz, ny, nx = draw.truth.shape
    height, rows, columns = size
    low, high = draw.seen
    # tiles lie within the voxels that a third of the tilts see, or nearly: where hardly a tilt looks there is little to learn
    low, high = max(0, low - columns // 3), min(nx, high + columns // 3)
    x = min(int(rng.integers(low, max(low, high - columns) + 1)), nx - columns)
    y = int(rng.integers(0, ny - rows + 1))
    box = (slice(None), slice(y, y + rows), slice(x, x + columns))
    part = draw.condition.tile(box)
    volumes = torch.stack([draw.truth[box], part.linear, part.inside]).float()
    coverage, numbers = part.coverage.float(), part.numbers
    axes = [axis for axis, flip in enumerate(mirror) if flip]
    if axes:
        volumes = volumes.flip([axis + 1 for axis in axes])
        coverage = coverage.flip([{0: 0, 2: 1}[a] for a in axes if a != 1])
    if mirror[0] != mirror[2]:
        numbers = torch.cat([-numbers[1:2], -numbers[:1], numbers[2:]])
    truth, linear, inside = (pad_to_height(v, height) for v in volumes)
    return truth, linear, inside, pad_to_height(coverage, height), numbers, _depths(nz, height, str(truth.device))


@lru_cache(maxsize=256)
def _depths(nz: int, height: int, device: str) -> torch.Tensor:
    return compute_depths(nz, height, device)


def _moved(values: NDArray[np.float32], device: torch.device) -> torch.Tensor:
    """On the device, without waiting for what it is at."""
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
