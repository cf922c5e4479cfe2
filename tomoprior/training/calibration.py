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
from tomoprior.simulate.recording import tilt_series
from tomoprior.simulate.simulation import Simulation
from tomoprior.simulate.tissue import Tissue
from tomoprior.training.draws import observe, simulated
from tomoprior.training.settings import TrainingSettings

#: Tilt range and step in degrees of the series that are simulated for it.
SERIES = ((10, 1), (20, 2), (40, 2), (60, 2), (120, 2))

#: Noise levels at which the denoiser's error is measured.
LEVELS = tuple(float(v) for v in np.geomspace(0.02, 80, 9))

#: Samples of each series.
SAMPLES = 4

#: First seed: others than the validation's and any benchmark's.
SEED = 2000


def calibrate(prior: Prior, tissue: Tissue, settings: TrainingSettings, progress: Callable[[str], None] | None = None) -> Prior:
    """The prior with ``errors`` and ``calibration`` measured on simulated series of tissue that it was not trained on.

    ``errors``: the mean squared error of ``D(u + sigma n, sigma)``, with conditions, over all series; the sampler draws by it.
    ``calibration``: for each tilt range the factor on the samples' standard deviation that makes the standardised error's mean
    square 1, over the voxels of one series.

    Parameters
    ----------
    progress
        Told what is being done.
    """
    low, high = settings.voxel_size
    size = max(math.sqrt(low * high), tissue.voxel_size)
    small = settings.model_copy(update={"field": (settings.tile, settings.tile * 2)})
    tell = progress or (lambda _: None)
    flat = prior.denoiser.unet.shape.flat
    tell("errors of the denoiser")
    errors = np.zeros(len(LEVELS))
    for index, (span, step) in enumerate(SERIES):
        data, truth, told = observe(
            simulated(tissue, small, _angles(span, step), size, SEED + index, outliers=0.0), prior.spectrum, flat=flat
        )
        run = TiledDenoiser(prior.denoiser, prior.tile, told)
        noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(index))
        with torch.no_grad():
            found = [data.crop(run(truth + s * noise, s) - truth).square().mean() for s in LEVELS]
        errors += np.array([float(v) for v in found]) / len(SERIES)
    prior = replace(prior, errors=tuple(zip(LEVELS, (float(v) for v in errors), strict=True)), calibration=())
    factors = []
    for index, (span, step) in enumerate(SERIES):
        tell(f"spread at {span} degrees")
        shape = (settings.height, settings.tile, settings.tile * 2)
        made = tilt_series(tissue, shape, _angles(span, step), seed=SEED + 100 + index, voxel_size=size, outliers=0.0)
        factors.append((float(span), standardised(prior, made, SAMPLES)))
    return replace(prior, calibration=tuple(factors))


def standardised(prior: Prior, made: Simulation, samples: int) -> float:
    """Root mean square of (mean - truth) / std over a series' voxels; 1 is calibrated."""
    method = Fixed(prior)
    projections = torch.from_numpy(made.series.projections)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = method.reconstruct(
            projections, Projector(made.series.geometry, "cpu"), method.Settings(samples=samples, check_prior=False)
        )
    error = (found.volume - torch.from_numpy(made.truth.volume)) / found.std
    return float(error.square().mean().sqrt())


class Fixed(Diffusion):
    """The method with a prior that is not in a file."""

    def __init__(self, prior: Prior) -> None:
        self._prior = prior

    def prior(self, settings: object) -> Prior:
        """That prior, whatever the settings say."""
        return self._prior


def _angles(span: float, step: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.asarray(np.deg2rad(np.arange(-span / 2, span / 2 + 1e-6, step)))
