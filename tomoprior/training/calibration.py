"""What a prior's user must know of its errors: their size at each noise level, and how wide its samples should spread."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from tomoprior.methods.diffusion.denoiser import Condition
from tomoprior.methods.diffusion.method import Diffusion
from tomoprior.methods.diffusion.prior import Prior, compute_region_weights
from tomoprior.methods.diffusion.tiling import TiledDenoiser
from tomoprior.projector import Projector
from tomoprior.simulate.microscope import MicroscopeSettings
from tomoprior.simulate.recording import tilt_series
from tomoprior.simulate.simulation import Simulation
from tomoprior.simulate.tissue import Tissue
from tomoprior.training.draws import Simulator
from tomoprior.training.settings import TrainingSettings

#: Tilt range and step in degrees of the series that are simulated for it.
SERIES = ((10, 1), (20, 2), (40, 2), (60, 2), (120, 2))

#: Noise levels at which the denoiser's error is measured.
LEVELS = tuple(float(v) for v in np.geomspace(0.02, 80, 9))

#: Series of each range, one place and thickness each, and samples of each series.
REPEATS, SAMPLES = 4, 4

#: First seed: others than the validation's and any benchmark's.
SEED = 2000

#: Standardised errors beyond this count as this: a few voxels of a face that lies elsewhere would set the spread of all.
LARGEST = 4.0


def calibrate(prior: Prior, tissue: Tissue, settings: TrainingSettings, progress: Callable[[str], None] | None = None) -> Prior:
    """The prior with ``errors`` and ``calibration`` measured on simulated series of tissue that it was not trained on.

    ``errors``: the mean squared error of ``D(u + sigma n, sigma)``, without conditions, on tissue that fills the grid; the
    sampler of ``conditional=False`` draws by it. ``calibration``: for each tilt range the factors on the samples' standard
    deviation that make the standardised error's mean square 1, inside the section, about its faces and in vacuum.

    Parameters
    ----------
    progress
        Told what is being done.
    """
    tell = progress or (lambda _: None)
    settings = settings.model_copy(update={"flat": prior.denoiser.unet.shape.flat, "turned": 0.0})
    tell("errors of the denoiser")
    errors = measure_errors(prior, Simulator([tissue], prior.spectrum, settings))
    prior = replace(prior, errors=tuple(zip(LEVELS, errors, strict=True)), calibration=())
    factors = []
    for span, step in SERIES:
        tell(f"spread at {span} degrees")
        series = (calibration_series(tissue, settings, span, step, SEED + 100 * n + span) for n in range(REPEATS))
        factors.append((float(span), *measure_spread(prior, list(series), SAMPLES)))
    return replace(prior, calibration=tuple(factors))


def calibration_series(tissue: Tissue, settings: TrainingSettings, span: float, step: float, seed: int) -> Simulation:
    """``span`` degrees around zero in steps of ``step``, in voxels of the middle size, recorded as users' series are."""
    tilts = np.asarray(np.deg2rad(np.arange(-span / 2, span / 2 + 1e-6, step)))
    shape = (settings.height, settings.tile, settings.tile + settings.tile // 2)
    size = settings.typical_voxel(tissue)
    return tilt_series(tissue, shape, tilts, seed=seed, voxel_size=size, settings=MicroscopeSettings.parse({"outliers": 0.0}))


def measure_errors(prior: Prior, simulator: Simulator) -> list[float]:
    """Mean squared error of the unconditional denoiser at every level, on a block of tissue."""
    block = simulator.filled_block(SEED)
    truth, told = block.truth.float(), block.condition
    told = Condition(torch.zeros_like(truth), torch.ones_like(truth), told.coverage.float(), told.numbers)
    run = TiledDenoiser(prior.denoiser, prior.tile, told, conditioned=False)
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return [float((run(truth + s * noise, s) - truth).square().mean()) for s in LEVELS]


def measure_spread(prior: Prior, series: list[Simulation], samples: int) -> tuple[float, float, float]:
    """Root mean square of (mean - truth) / std inside the section, about its faces and in vacuum; 1 is calibrated.

    A region that no series has takes the factor of the whole.
    """
    total, count = np.zeros(3), np.zeros(3)
    for made in series:
        z, inside = standardise(prior, made, samples)
        square = z.clamp(-LARGEST, LARGEST).square()
        weights = compute_region_weights(inside)
        total += [float((square * w).sum()) for w in weights]
        count += [float(w.sum()) for w in weights]
    whole = total.sum() / count.sum()
    enough = count > 1e-3 * count.sum()
    inner, faces, vacuum = (math.sqrt(t / c) if e else math.sqrt(whole) for t, c, e in zip(total, count, enough, strict=True))
    return inner, faces, vacuum


def standardise(prior: Prior, made: Simulation, samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    """``(mean - truth) / std`` of a series' voxels, and the probability that each lies inside the section."""
    method = _Fixed(prior)
    series = made.series
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = method.reconstruct(
            torch.from_numpy(series.projections),
            Projector(series.geometry, "cpu"),
            method.Settings(samples=samples, check_prior=False),
        )
    assert found.std is not None
    truth = torch.from_numpy(made.truth.volume)
    inside = torch.tensor(found.provenance["section"]["profile"])[:, None, None].expand(truth.shape)
    return (torch.as_tensor(found.volume) - truth) / torch.as_tensor(found.std), inside


class _Fixed(Diffusion):
    """The method with a prior that is not in a file."""

    def __init__(self, prior: Prior) -> None:
        self._prior = prior

    def prior(self, settings: object) -> Prior:
        """That prior, whatever the settings say."""
        return self._prior
