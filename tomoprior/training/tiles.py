"""Training tiles, cut from draws and mirrored: the same for the same seed and step."""

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

#: Standard deviation of the noise added to the numbers of a draw. The exact numbers identify the draw, and the network would
#: memorise its section.
JITTER = 0.05

#: Lowest and highest noise level.
LEVELS = (0.01, 100.0)

#: Ways to mirror a tile along z, y and x.
MIRRORS = tuple(product((False, True), repeat=3))


@dataclass(frozen=True, eq=False)
class Batch:
    """Arguments of the denoiser and the truth; shapes as in ``Denoiser.forward``."""

    truth: torch.Tensor
    noisy: torch.Tensor
    sigma: torch.Tensor
    linear: torch.Tensor
    inside: torch.Tensor
    depth: torch.Tensor
    coverage: torch.Tensor
    numbers: torch.Tensor
    conditioned: torch.Tensor


def cut_batch(draws: Sequence[Draw], blocks: Sequence[Draw], settings: TrainingSettings, step: int) -> Batch:
    """Return the tiles of a step, from draws with a series and from blocks without one, on the device of these."""
    rng = np.random.default_rng([settings.seed, 2**32 - 1, step])
    device = (draws or blocks)[0].truth.device
    tiles, series = [], []
    for number in range(settings.batch_size):
        free = bool(blocks) and (not draws or rng.random() < settings.free)
        examples = blocks if free else draws
        series.append(not free)
        # neighbouring tiles of a batch are mirrored in turn, so that all ways occur
        tiles.append(
            cut_tile(examples[int(rng.integers(len(examples)))], settings.tile_shape, rng, MIRRORS[(step + number) % 8])
        )
    truth, linear, inside, coverage, numbers, depth = (torch.stack([tile[i] for tile in tiles]) for i in range(6))
    mean, spread = settings.log_sigma
    n = settings.batch_size
    conditioned = np.array(series) & (rng.random(n) >= settings.drop)
    level = np.exp(mean + spread * rng.standard_normal(n)).clip(*LEVELS)
    level = np.where(conditioned & (rng.random(n) < settings.blind), BLIND_SIGMA, level)
    sigma, use_series = (_to_device(v.astype(np.float32), device) for v in (level, conditioned))
    generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
    numbers = numbers + JITTER * torch.randn(numbers.shape, generator=generator, device=device)
    noise = torch.randn(truth.shape, generator=generator, device=device)
    noisy = truth + sigma[:, None, None, None] * noise * (depth.abs() < 1)[:, :, None, None]
    return Batch(truth, noisy, sigma, linear, inside, depth, coverage, numbers, use_series)


def cut_tile(
    draw: Draw, size: tuple[int, int, int], rng: Generator, mirror: tuple[bool, ...], others: Sequence[torch.Tensor] = ()
) -> tuple[torch.Tensor, ...]:
    """Return truth, linear estimate, section, coverage, numbers and depth of a random tile, then ``others`` cut alike.

    Tissue counts as having no handedness. A series mirrored along x or z is the series with negated angles.
    """
    nz, ny, nx = draw.truth.shape
    height, rows, columns = size
    low, high = draw.seen
    # tiles lie, up to a third of their width, within the columns that enough tilts see: elsewhere there is little to learn
    low, high = max(0, low - columns // 3), min(nx, high + columns // 3)
    x = min(int(rng.integers(low, max(low, high - columns) + 1)), nx - columns)
    y = int(rng.integers(0, ny - rows + 1))
    box = (slice(None), slice(y, y + rows), slice(x, x + columns))
    part = draw.condition.tile(box)
    volumes = torch.stack([draw.truth[box], part.linear, part.inside, *(v[box] for v in others)]).float()
    coverage, numbers = part.coverage.float(), part.numbers
    axes = [axis for axis, flip in enumerate(mirror) if flip]
    if axes:
        volumes = volumes.flip([axis + 1 for axis in axes])
        coverage = coverage.flip([{0: 0, 2: 1}[a] for a in axes if a != 1])
    if mirror[0] != mirror[2]:
        numbers = torch.cat([-numbers[1:2], -numbers[:1], numbers[2:]])
    truth, linear, inside, *rest = (pad_to_height(v, height) for v in volumes)
    return truth, linear, inside, pad_to_height(coverage, height), numbers, _depths(nz, height, str(truth.device)), *rest


@lru_cache(maxsize=256)
def _depths(nz: int, height: int, device: str) -> torch.Tensor:
    return compute_depths(nz, height, device)


def _to_device(values: NDArray[np.float32], device: torch.device) -> torch.Tensor:
    """Copy values to the device without waiting for its work."""
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
