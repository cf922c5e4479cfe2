"""Draws to train on: a simulated series each, its condition and the truth in the prior's units."""

from __future__ import annotations

import multiprocessing
import queue
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.errors import InputError, TomopriorError
from tomoprior.methods.diffusion.conditions import condition
from tomoprior.methods.diffusion.denoiser import Condition
from tomoprior.methods.diffusion.measurement import Measurement, padding, prepare
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.projector import Projector
from tomoprior.simulate.microscope import Microscope
from tomoprior.simulate.recording import tilt_series
from tomoprior.simulate.simulation import Simulation
from tomoprior.simulate.tissue import Tissue
from tomoprior.training.settings import TrainingSettings


@dataclass(frozen=True, eq=False)
class Draw:
    """A training example, larger than a tile.

    Attributes
    ----------
    truth
        ``u`` on the padded grid, float16.
    condition
        What the denoiser is told; its volume is float16.
    """

    truth: torch.Tensor
    condition: Condition

    def to_dict(self) -> dict[str, torch.Tensor]:
        """Its arrays, for a checkpoint."""
        c = self.condition
        return {"truth": self.truth, "linear": c.linear, "coverage": c.coverage, "numbers": c.numbers}

    @classmethod
    def from_dict(cls, arrays: dict[str, torch.Tensor]) -> Draw:
        """Inverse of ``to_dict``."""
        return cls(arrays["truth"], Condition(arrays["linear"], arrays["coverage"], arrays["numbers"]))


def angles(settings: TrainingSettings, rng: np.random.Generator) -> NDArray[np.float64]:
    """Tilt angles of a draw, radians."""
    low, high = settings.ranges
    span = low * (high / low) ** rng.random()
    step = settings.tilt_step[0] * (settings.tilt_step[1] / settings.tilt_step[0]) ** rng.random()
    n = int(np.clip(round(span / step) + 1, *settings.tilts))
    room = min(settings.centre, settings.ranges[1] / 2 - span / 2)
    middle = rng.uniform(-1, 1) * max(0.0, room)
    return np.asarray(np.deg2rad(middle + np.linspace(-span / 2, span / 2, n)))


def observe(made: Simulation, spectrum: Spectrum) -> tuple[Measurement, torch.Tensor, Condition]:
    """The series as the method sees it, the truth in the prior's units on the padded grid, and the condition."""
    with torch.no_grad():
        data = prepare(torch.from_numpy(made.series.projections), Projector(made.series.geometry, "cpu"), spectrum)
        truth = (torch.from_numpy(made.truth.volume) - data.scale.mean) / data.scale.gain
        return data, truth, condition(data, spectrum)


def simulated(
    tissue: Tissue, settings: TrainingSettings, tilts: NDArray[np.float64], voxel_size: float, seed: int, **values: Any
) -> Simulation:
    """A series on the training's grid whose truth is as wide as the padded grid."""
    from tomoprior.geometry import Geometry

    shape = (settings.height, *settings.field)
    pad = padding(Geometry(tilts, shape))
    return tilt_series(tissue, shape, tilts, seed=seed, voxel_size=voxel_size, truth_pad=pad, settings=Microscope.parse(values))
  


def draw(tissue: Tissue, spectrum: Spectrum, settings: TrainingSettings, index: int) -> Draw:
    """The draw number ``index`` of this seed: always the same."""
    for attempt in range(20):
        rng = np.random.default_rng([settings.seed, index, attempt])
        tilts = angles(settings, rng)
        low, high = settings.voxel_size
        size = max(low + rng.random() * (high - low), tissue.voxel_size)
        try:
            made = simulated(
                tissue, settings, tilts, size, int(rng.integers(2**31)), thickness=(0.5, 1.0), dose=(200.0, 10000.0)
            )
            _, truth, told = observe(made, spectrum)
        except InputError:  # nothing to see at this place: an empty block, or noise above all contrast
            continue
        if float(truth.abs().max()) < 20:
            half = Condition(told.linear.half(), told.coverage, told.numbers)
            return Draw(truth.half(), half)
    raise InputError("twenty places in a row show no tissue: is this volume of the kind, and its polarity right?")


def tissue_spectrum(tissue: Tissue, voxel_size: float, unit_std: float, seed: int) -> Spectrum:
    """Spectrum of the tissue scaled to a standard deviation of ``unit_std``, from twelve blocks."""
    rng = np.random.default_rng([seed, 2**31])
    edge = int(min(96, min(tissue.grey.shape) * tissue.voxel_size // voxel_size))
    blocks = [tissue.block((edge, edge, edge), voxel_size / tissue.voxel_size, rng) for _ in range(12)]
    spread = float(np.sqrt(np.mean([b.var() for b in blocks])))
    return Spectrum.fit([(b - b.mean()) * np.float32(unit_std / spread) for b in blocks], voxel_size)


class Source:
    """Draws in order from ``start`` on, made in a process of their own so that the training does not wait.

    Raises
    ------
    TomopriorError
        What the process stopped at.
    """

    def __init__(self, tissue: Tissue, spectrum: Spectrum, settings: TrainingSettings, start: int, ahead: int = 3) -> None:
        context = multiprocessing.get_context("spawn")
        self._queue: Any = context.Queue(maxsize=ahead)
        self._process = context.Process(
            target=_produce, args=(self._queue, tissue, spectrum, settings, start), daemon=True, name="draws"
        )
        self._process.start()

    def __iter__(self) -> Iterator[Draw]:
        return self

    def __next__(self) -> Draw:
        while True:
            try:
                found = self._queue.get(timeout=5)
            except queue.Empty:
                if not self._process.is_alive():
                    raise TomopriorError("the process that simulates series has died; is there memory enough?") from None
                continue
            if isinstance(found, BaseException):
                raise found
            return Draw.from_dict({k: torch.from_numpy(v) for k, v in found.items()})

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join()
        self._queue.close()


def _produce(out: Any, tissue: Tissue, spectrum: Spectrum, settings: TrainingSettings, start: int) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the training saves and then ends this process
    torch.set_num_threads(1)
    index = start
    while True:
        try:
            made = draw(tissue, spectrum, settings, index)
        except Exception as error:
            out.put(error)
            return
        while True:
            try:
                out.put({k: v.numpy() for k, v in made.to_dict().items()}, timeout=5)
                break
            except queue.Full:
                parent = multiprocessing.parent_process()
                if parent is None or not parent.is_alive():
                    return  # whoever wanted the draws was killed
        index += 1
