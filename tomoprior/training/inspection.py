"""Inspect a prior without a series: samples of tissue, and the operations for a tile."""

from __future__ import annotations

import math

import torch
from torch.utils.flop_counter import FlopCounterMode

from tomoprior.methods.diffusion.conditioning import FACE_STD_OFFSET
from tomoprior.methods.diffusion.denoiser import CHANNELS, FEATURES, N_SERIES_NUMBERS, Condition
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.methods.diffusion.probability_flow import follow_flow
from tomoprior.methods.diffusion.row_noise import RowNoise
from tomoprior.methods.diffusion.sampler import Schedule
from tomoprior.methods.diffusion.tiling import TiledDenoiser
from tomoprior.methods.learning.unet import UNet
from tomoprior.projector.backends import choose_device
from tomoprior.training.settings import TrainingSettings

#: Highest and lowest noise level of a sample, and the value of vacuum in its condition, which a volume that fills the grid does
#: not show.
HIGHEST, LOWEST, VACUUM = 10.0, 0.02, -1.2


def sample_tissue(
    prior: Prior, count: int, shape: tuple[int, int, int], *, levels: int = 32, seed: int = 0, device: str = "auto"
) -> list[torch.Tensor]:
    """Return samples of tissue that fills a grid.

    Parameters
    ----------
    count
        Number of samples.
    shape
        ``(nz, ny, nx)``; at most as high as the prior's tile.
    levels
        Noise levels of the probability flow.
    device
        ``auto`` (a GPU if there is one), ``cpu`` or ``cuda``.

    Returns
    -------
    ``count`` volumes of ``shape`` in the prior's units, on the CPU.
    """
    place = choose_device(device)
    numbers = torch.zeros(FEATURES - 2)
    numbers[N_SERIES_NUMBERS], numbers[-1] = VACUUM, math.log(FACE_STD_OFFSET) / 2
    empty = torch.zeros(shape)
    condition = Condition(*(v.to(place) for v in (empty, torch.ones(shape), empty[:, 0], numbers)))
    run = TiledDenoiser(prior.denoiser.to(place), prior.tile, condition, conditioned=False)
    schedule = Schedule(levels, HIGHEST, LOWEST).levels().tolist()
    samples = []
    with torch.no_grad():
        for number in range(count):
            noise = RowNoise(seed, number, range(shape[1]), place)
            samples.append(follow_flow(run, empty.to(place), schedule, noise).cpu())
    prior.denoiser.cpu()
    return samples


def tile_flops(settings: TrainingSettings) -> int:
    """Return the floating-point operations of the network for one tile, forward."""
    with torch.device("meta"):
        network = UNet(CHANNELS, FEATURES, settings.shape)
        arguments = torch.empty(1, CHANNELS, *settings.tile_shape), torch.empty(1, FEATURES)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*arguments)
    return int(counter.get_total_flops())
