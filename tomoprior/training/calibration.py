"""Calibration of a prior: its errors at each noise level, and the factor on the spread of its samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, model_validator

from tomoprior.methods.diffusion.method import Diffusion
from tomoprior.methods.diffusion.prior import Prior, compute_region_weights
from tomoprior.methods.diffusion.tiling import TiledDenoiser
from tomoprior.methods.learning.state import Header
from tomoprior.projector import Projector
from tomoprior.simulate.microscope import MicroscopeSettings
from tomoprior.simulate.recording import tilt_series
from tomoprior.simulate.simulation import Simulation
from tomoprior.simulate.tissue import Tissue
from tomoprior.training.settings import TrainingSettings
from tomoprior.training.simulator import Simulator
from tomoprior.training.validation import unconditional

#: Tilt range and step, in degrees, of the simulated series.
SERIES = ((10, 1), (20, 2), (40, 2), (60, 2), (120, 2))

#: Noise levels at which the error of the denoiser is measured.
LEVELS = tuple(float(v) for v in np.geomspace(0.02, 80, 9))

#: Series of each range, each with its own place and thickness, and samples of each series.
REPEATS, SAMPLES = 4, 4

#: First seed; those of the validation and of the benchmarks are others.
SEED = 2000

#: Standardised errors are clipped to this value: a few voxels at a displaced face would otherwise set the spread of all.
LARGEST = 4.0


class CalibrationState(Header):
    """Finished measurements of a calibration, as they are saved with a training; see ``measure``.

    Attributes
    ----------
    tissue
        SHA-256 of the volume that they are measured on; empty before the first.
    rows
        The errors of the denoiser, then sums and counts of each series.
    """

    tissue: Annotated[str, Field(max_length=64)] = ""
    rows: list[list[Annotated[float, Field(ge=0)]]] = Field(default_factory=list)

    @model_validator(mode="after")
    def _check_rows(self) -> CalibrationState:
        if len(self.rows) > 1 + len(SERIES) * REPEATS:
            raise ValueError("too many measurements")
        if any(len(row) != (6 if number else len(LEVELS)) for number, row in enumerate(self.rows)):
            raise ValueError("a measurement has another number of values")
        if any(sum(row[3:]) == 0 for row in self.rows):
            raise ValueError("a measurement of no voxels")
        return self


def calibrate(prior: Prior, tissue: Tissue, settings: TrainingSettings, progress: Callable[[str], None] | None = None) -> Prior:
    """Return the prior with ``errors`` and ``calibration``, measured on simulated series of validation tissue.

    ``errors`` is the mean squared error of ``D(u + sigma n, sigma)``, without conditions, on tissue that fills the grid; the
    sampler of ``conditional=False`` draws by it. ``calibration`` holds, for each tilt range, the factors on the standard
    deviation of the samples that make the mean square of the standardised error 1: inside the section, near its faces and in
    vacuum.

    Parameters
    ----------
    tissue
        Tissue that the prior was not trained on.
    settings
        Settings of the training.
    progress
        Called with a description of each measurement.

    Returns
    -------
    A copy of the prior; the given one does not change.
    """
    return apply_measurements(prior, list(measure(prior, tissue, settings, [], progress)))


def measure(
    prior: Prior,
    tissue: Tissue,
    settings: TrainingSettings,
    finished: list[list[float]],
    progress: Callable[[str], None] | None = None,
) -> Iterator[list[float]]:
    """Yield first the ``finished`` measurements of a calibration, then the others.

    The first measurement is that of ``measure_errors``; each of the others is that of ``measure_spread`` for one series.
    """
    report = progress or (lambda _: None)
    settings = settings.model_copy(update={"flat": prior.denoiser.unet.shape.flat, "turned": 0.0})
    yield from finished
    if finished:
        errors = finished[0]
    else:
        report("errors of the denoiser")
        yield (errors := measure_errors(prior, Simulator([tissue], prior.spectrum, settings)))
    prior = replace(prior, errors=tuple(zip(LEVELS, errors, strict=True)), calibration=())
    series = [(*tilts, repeat) for tilts in SERIES for repeat in range(REPEATS)]
    for span, step, repeat in series[max(0, len(finished) - 1) :]:
        report(f"spread at {span} degrees, series {repeat + 1} of {REPEATS}")
        yield measure_spread(prior, calibration_series(tissue, settings, span, step, SEED + 100 * repeat + span), SAMPLES)


def apply_measurements(prior: Prior, measurements: list[list[float]]) -> Prior:
    """Return the prior with the errors and factors of all measurements of a calibration."""
    errors, *spreads = measurements
    factors = tuple(
        (float(span), *spread_factors(spreads[REPEATS * n : REPEATS * (n + 1)])) for n, (span, _) in enumerate(SERIES)
    )
    return replace(prior, errors=tuple(zip(LEVELS, errors, strict=True)), calibration=factors)


def calibration_series(tissue: Tissue, settings: TrainingSettings, span: float, step: float, seed: int) -> Simulation:
    """Return a series over ``span`` degrees around zero in steps of ``step``, in typical voxels, as users record them."""
    tilts = np.asarray(np.deg2rad(np.arange(-span / 2, span / 2 + 1e-6, step)))
    shape = (settings.height, settings.tile_size, settings.tile_size + settings.tile_size // 2)
    size = settings.typical_voxel(tissue)
    return tilt_series(tissue, shape, tilts, seed=seed, voxel_size=size, settings=MicroscopeSettings.parse({"outliers": 0.0}))


def measure_errors(prior: Prior, simulator: Simulator) -> list[float]:
    """Return the mean squared error of the unconditional denoiser at every level, on a block of tissue."""
    block = simulator.filled_block(SEED)
    truth = block.truth.float()
    run = TiledDenoiser(prior.denoiser, prior.tile, unconditional(block), conditioned=False)
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return [float((run(truth + s * noise, s) - truth).square().mean()) for s in LEVELS]


def measure_spread(prior: Prior, simulation: Simulation, samples: int) -> list[float]:
    """Return sums of the squared standardised error, then counts: each inside the section, near its faces and in vacuum."""
    z, inside = standardise(prior, simulation, samples)
    square = z.clamp(-LARGEST, LARGEST).square()
    weights = compute_region_weights(inside)
    return [float((square * w).sum()) for w in weights] + [float(w.sum()) for w in weights]


def spread_factors(measurements: list[list[float]]) -> tuple[float, float, float]:
    """Return the root mean square of the standardised error in the three regions; 1 is calibrated.

    A region that no series shows takes the factor of the whole.
    """
    total, count = np.zeros(3), np.zeros(3)
    for measurement in measurements:
        total += measurement[:3]
        count += measurement[3:]
    whole = total.sum() / count.sum()
    enough = count > 1e-3 * count.sum()
    inner, faces, vacuum = (math.sqrt(t / c) if e else math.sqrt(whole) for t, c, e in zip(total, count, enough, strict=True))
    return inner, faces, vacuum


def standardise(prior: Prior, simulation: Simulation, samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ``(mean - truth) / std`` of the voxels of a series, and the probability that each lies inside the section.

    With ``samples=0`` the standard deviation is that of the prior's error network.
    """
    method = _Fixed(prior)
    series = simulation.series
    source = {"samples": samples, "std": "samples"} if samples else {"samples": 0, "std": "network"}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        result = method.reconstruct(
            torch.from_numpy(series.projections),
            Projector(series.geometry, "cpu"),
            method.Settings.parse({**source, "check_prior": False}),
        )
    assert result.std is not None
    truth = torch.from_numpy(simulation.truth.volume)
    inside = torch.tensor(result.provenance["section"]["profile"])[:, None, None].expand(truth.shape)
    return (torch.as_tensor(result.volume) - truth) / torch.as_tensor(result.std), inside


class _Fixed(Diffusion):
    """The method with a prior that is in no file."""

    def __init__(self, prior: Prior) -> None:
        self._prior = prior

    def prior(self, settings: object) -> Prior:
        """Return that prior for any settings."""
        return self._prior
