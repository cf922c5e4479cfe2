"""Training of a prior's error network on simulated series and the denoiser's mean of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from pydantic import Field

from tomoprior.errors import InputError
from tomoprior.methods.diffusion.error_network import ErrorNetwork
from tomoprior.methods.diffusion.prior import Prior, choose_network_dtype
from tomoprior.methods.learning.optimiser import Optimiser
from tomoprior.methods.learning.state import NetworkState, initial_parts
from tomoprior.methods.learning.unet import Shape, build_seeded
from tomoprior.progress import Progress
from tomoprior.settings import Settings
from tomoprior.simulate.tissue import Tissue
from tomoprior.training.calibration import SEED, SERIES, calibration_series, measure_spread, spread_factors
from tomoprior.training.error_examples import ErrorExample, make_or_load
from tomoprior.training.optimiser import GAMMA, PATIENCE
from tomoprior.training.settings import Levels, TrainingSettings
from tomoprior.training.simulator import Simulator
from tomoprior.training.tiles import JITTER, MIRRORS, cut_tile

#: Series of each tilt range for the factors. They vary by a factor of two from section to section, and a series takes seconds.
REPEATS = 12

#: Columns of a series count in the loss if at least this share of the tilts sees them.
SEEN = 0.3


class ErrorTrainingSettings(Settings):
    """Settings of ``train_error_network``."""

    groups: int = Field(114, ge=1, description="Groups of simulated series.")
    steps: int = Field(1500, ge=1, description="Number of steps.")
    batch_size: int = Field(4, ge=1, description="Tiles per step.")
    learning_rate: float = Field(1e-3, gt=0, description="Highest learning rate (Adam); it falls along half a cosine.")
    warm_up: int = Field(100, ge=0, description="Steps in which the learning rate rises to its highest.")
    weight_decay: float = Field(0.01, ge=0, description="Decay of the weights in each step, times the learning rate (AdamW).")
    widths: Levels = Field((16, 32, 32), description="Channels of the network per level.")
    blocks: Levels = Field((1, 1, 1), description="Residual blocks per level, on the way down and on the way up.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of tiles and initial weights.")


def train_error_network(
    prior: Prior,
    tissue: Tissue | Sequence[Tissue],
    series: TrainingSettings,
    *,
    settings: ErrorTrainingSettings | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Prior:
    """Return the prior with an error network, trained on simulated series.

    Parameters
    ----------
    tissue
        Volumes to draw from: those that the prior was trained on.
    series
        Settings of the series, as in the prior's training; another seed makes other series.
    folder
        Folder that keeps the examples: an interrupted training simulates only the remaining ones.
    progress
        Called after every group and every step; the count is in both.

    Returns
    -------
    A copy of the prior, without ``error_calibration``; see ``calibrate_error_network``.

    Raises
    ------
    FormatError
        If a file in ``folder`` is not one of these examples.
    InputError
        If step after step has no finite gradient.
    """
    settings = settings or ErrorTrainingSettings()
    tissues = (tissue,) if isinstance(tissue, Tissue) else tuple(tissue)
    simulator = Simulator(tissues, prior.spectrum, series)
    total = settings.groups + settings.steps
    examples: list[ErrorExample] = []
    for number in range(settings.groups):
        examples += make_or_load(prior, simulator, number, folder)
        if progress is not None:
            progress(number + 1, total, {"series": float(len(examples))})
    if not examples:
        raise InputError("no simulated series shows contrast")

    def report(step: int, loss: float) -> None:
        if progress is not None:
            progress(settings.groups + step, total, {"loss": loss})

    network = fit_error_network(examples, prior.tile, settings, flat=prior.denoiser.unet.shape.flat, on_step=report)
    return replace(prior, error_network=network, error_calibration=())


def fit_error_network(
    examples: Sequence[ErrorExample],
    tile: tuple[int, int, int],
    settings: ErrorTrainingSettings,
    *,
    flat: bool = False,
    on_step: Callable[[int, float], None] | None = None,
) -> ErrorNetwork:
    """Return an error network that was fitted to examples, in evaluation mode.

    The loss is the mean negative log likelihood of the errors, ``(log v + e^2 / v) / 2``, over the voxels of the user's grid
    that ``SEEN`` of the tilts see.
    """
    shape = Shape(settings.widths, settings.blocks, embedding=64, flat=flat)
    network = build_seeded(lambda: ErrorNetwork(shape), settings.seed, "cpu")
    optimiser = Optimiser(
        network, NetworkState(*initial_parts(network)), lambda step: float((1 - 1 / step) ** (GAMMA + 1)),
        learning_rate=settings.learning_rate, weight_decay=settings.weight_decay, patience=PATIENCE,
    )  # fmt: skip
    half = choose_network_dtype(torch.device("cpu")) == torch.bfloat16
    while (step := optimiser.state.step) < settings.steps:
        rng = np.random.default_rng([settings.seed, step + optimiser.skipped])
        batch = _cut_batch(examples, tile, settings.batch_size, rng)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = _compute_loss(network, batch)
        rise = min(1.0, (step + 1) / max(1, settings.warm_up))
        optimiser.step(loss, settings.learning_rate * rise * (1 + math.cos(math.pi * step / settings.steps)) / 2)
        if on_step is not None:
            on_step(optimiser.state.step, float(loss.detach()))
    return optimiser.averaged()


def calibrate_error_network(
    prior: Prior, tissue: Tissue, series: TrainingSettings, report: Callable[[str], None] | None = None
) -> Prior:
    """Return the prior with ``error_calibration``, measured as ``calibrate`` measures ``calibration``, on other tissue."""
    series = series.model_copy(update={"flat": prior.denoiser.unet.shape.flat, "turned": 0.0})
    prior = replace(prior, error_calibration=())
    factors = []
    for span, step in SERIES:
        rows = []
        for repeat in range(REPEATS):
            if report is not None:
                report(f"error network at {span} degrees, series {repeat + 1} of {REPEATS}")
            rows.append(measure_spread(prior, calibration_series(tissue, series, span, step, SEED + 100 * repeat + span), 0))
        factors.append((float(span), *spread_factors(rows)))
    return replace(prior, error_calibration=tuple(factors))


def _cut_batch(
    examples: Sequence[ErrorExample], tile: tuple[int, int, int], count: int, rng: Generator
) -> tuple[torch.Tensor, ...]:
    """Return truth, linear estimate, section, coverage, numbers, depth and mean of random tiles, mirrored at random."""
    tiles = []
    for _ in range(count):
        example = examples[int(rng.integers(len(examples)))]
        tiles.append(cut_tile(example.draw, tile, rng, MIRRORS[int(rng.integers(8))], others=(example.mean,)))
    parts = [torch.stack(part) for part in zip(*tiles, strict=True)]
    noise = rng.standard_normal(parts[4].shape)
    parts[4] = parts[4] + JITTER * torch.from_numpy(noise).to(parts[4])
    return tuple(parts)


def _compute_loss(network: ErrorNetwork, batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
    truth, linear, inside, coverage, numbers, depth, mean = batch
    log_variance = network(mean, linear, inside, depth, coverage, numbers)
    used = ((depth.abs() < 1)[..., None, None] & (coverage[:, :, None, :] > SEEN)).float().expand_as(truth)
    loss: torch.Tensor = (log_variance + (truth - mean).square() * torch.exp(-log_variance)) / 2
    return (loss * used).sum() / used.sum().clamp_min(1)
