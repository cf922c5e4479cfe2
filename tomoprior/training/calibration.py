"""What a prior's user must know of its errors: their size at each noise level, and how wide its samples should spread."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from tomoprior.methods.diffusion.method import Diffusion
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.methods.diffusion.tiling import TiledDenoiser
from tomoprior.projector import Projector
from tomoprior.simulate.simulation import Simulation
from tomoprior.simulate.tissue import Tissue
from tomoprior.training.settings import TrainingSettings
from tomoprior.training.trials import Trial, trial_series

#: Tilt range and step in degrees of the series that are simulated for it.
SERIES = ((10, 1), (20, 2), (40, 2), (60, 2), (120, 2))

#: Noise levels at which the denoiser's error is measured.
LEVELS = tuple(float(v) for v in np.geomspace(0.02, 80, 9))

#: Series of each range, one place and thickness each, and samples of each series.
REPEATS, SAMPLES = 4, 3

#: First seed: others than the validation's and any benchmark's.
SEED = 2000


def calibrate(prior: Prior, tissue: Tissue, settings: TrainingSettings, progress: Callable[[str], None] | None = None) -> Prior:
    """The prior with ``errors`` and ``calibration`` measured on simulated series of tissue that it was not trained on.

    ``errors``: the mean squared error of ``D(u + sigma n, sigma)``, with conditions, over all series; the sampler draws by it.
    ``calibration``: for each tilt range the factor on the samples' standard deviation that makes the standardised error's mean
    square 1, over the voxels of its series.

    Parameters
    ----------
    progress
        Told what is being done.
    """
    tell = progress or (lambda _: None)
    settings = settings.model_copy(update={"flat": prior.denoiser.unet.shape.flat})
    tell("errors of the denoiser")
    errors, factors = np.zeros(len(LEVELS)), []
    series: list[list[Simulation]] = []
    for i, tilts in enumerate(SERIES):
        trial = Trial.of(tissue, prior.spectrum, settings, *tilts, SEED + i)
        errors += np.array(_errors(prior, trial)) / len(SERIES)
        others = (trial_series(tissue, settings, *tilts, SEED + len(SERIES) * n + i) for n in range(1, REPEATS))
        series.append([trial.made, *others])
    prior = replace(prior, errors=tuple(zip(LEVELS, errors.tolist(), strict=True)), calibration=())
    for (span, _), of in zip(SERIES, series, strict=True):
        tell(f"spread at {span} degrees")
        factors.append((float(span), math.sqrt(float(np.mean([standardised(prior, made, SAMPLES) for made in of])))))
    return replace(prior, calibration=tuple(factors))


def _errors(prior: Prior, trial: Trial) -> list[float]:
    """Mean squared error of the denoiser at every level."""
    run = TiledDenoiser(prior.denoiser, prior.tile, trial.told)
    noise = torch.randn(trial.truth.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return [float(trial.data.crop(run(trial.truth + s * noise, s) - trial.truth).square().mean()) for s in LEVELS]


def standardised(prior: Prior, made: Simulation, samples: int) -> float:
    """Mean square of (mean - truth) / std over a series' voxels; 1 is calibrated."""
    method = _Fixed(prior)
    series = made.series
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = method.reconstruct(
            torch.from_numpy(series.projections),
            Projector(series.geometry, "cpu"),
            method.Settings(samples=samples, check_prior=False),
        )
    wide = made.truth.volume.shape[2] - series.geometry.shape[2]
    truth = torch.from_numpy(made.truth.volume).narrow(2, wide // 2, series.geometry.shape[2])
    return float(((found.volume - truth) / found.std).square().mean())


class _Fixed(Diffusion):
    """The method with a prior that is not in a file."""

    def __init__(self, prior: Prior) -> None:
        self._prior = prior

    def prior(self, settings: object) -> Prior:
        """That prior, whatever the settings say."""
        return self._prior
