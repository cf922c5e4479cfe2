"""Draws to train on: a simulated series each, its condition and the truth in the prior's units."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.errors import InputError, TomopriorError
from tomoprior.geometry import Geometry
from tomoprior.lazy import one_line
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
from tomoprior.training.stopping import sheltered

#: Places that are tried before a draw is given up.
ATTEMPTS = 20

#: Share of the draws on a grid that is thinner than the tile.
THINNER = 0.25

#: Values of a truth beyond this, in the prior's units, say that its contrast was measured wrongly.
LARGEST = 20.0

#: Draws made ahead of the one that is waited for.
AHEAD = 3

#: MiB of system matrices kept by the process that simulates; every draw has its own, a tenth of this.
BUDGET = 1024

#: Seconds between two looks at whether the training is to stop, while it waits for a draw.
POLL = 0.2


@dataclass(frozen=True, eq=False)
class Draw:
    """A training example, larger than a tile.

    Attributes
    ----------
    truth
        ``u`` on the padded grid, float16; at most as high as a tile.
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


def observe(made: Simulation, spectrum: Spectrum, *, flat: bool = False) -> tuple[Measurement, torch.Tensor, Condition]:
    """The series as the method sees it, the truth in the prior's units on the padded grid, and the condition."""
    with torch.no_grad():
        data = prepare(torch.from_numpy(made.series.projections), Projector(made.series.geometry, "cpu"), spectrum)
        truth = (torch.from_numpy(made.truth.volume) - data.scale.mean) / data.scale.gain
        return data, truth, condition(data, spectrum, flat=flat)


def simulated(
    tissue: Tissue,
    settings: TrainingSettings,
    tilts: NDArray[np.float64],
    voxel_size: float,
    seed: int,
    height: int | None = None,
    **values: Any,
) -> Simulation:
    """A series on a grid of ``height`` voxels (the tile's by default) whose truth is as wide as the padded grid."""
    shape = (settings.height if height is None else height, *settings.field)
    pad = padding(Geometry(tilts, shape))
    return tilt_series(tissue, shape, tilts, seed=seed, voxel_size=voxel_size, truth_pad=pad, settings=Microscope.parse(values))


def pick(tissues: Sequence[Tissue], rng: np.random.Generator) -> Tissue:
    """One of them, the more often the larger it is; with one there is nothing to draw a number for."""
    if len(tissues) == 1:
        return tissues[0]
    sizes = np.array([float(np.prod(t.grey.shape, dtype=float)) * t.voxel_size**3 for t in tissues])
    return tissues[int(rng.choice(len(tissues), p=sizes / sizes.sum()))]


def draw(tissues: Sequence[Tissue], spectrum: Spectrum, settings: TrainingSettings, index: int) -> Draw:
    """The draw number ``index`` of this seed: always the same."""
    reason = ""
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng([settings.seed, index, attempt])
        tissue = pick(tissues, rng)
        tilts = angles(settings, rng)
        low, high = settings.voxel_size
        size = max(low + rng.random() * (high - low), tissue.voxel_size)
        height = settings.height if rng.random() >= THINNER else int(rng.integers(settings.height // 4, settings.height))
        try:
            made = simulated(
                tissue, settings, tilts, size, int(rng.integers(2**31)), height, thickness=(0.7, 1.0), dose=(200.0, 10000.0)
            )
            _, truth, told = observe(made, spectrum, flat=settings.flat)
        except InputError as error:  # nothing to see at this place: an empty block, or noise above all contrast
            reason = str(error)
            continue
        if float(truth.abs().max()) < LARGEST:
            half = Condition(told.linear.half(), told.coverage, told.numbers)
            return Draw(truth.half(), half)
        reason = "its tilts show hardly any contrast"
    raise InputError(
        f"{ATTEMPTS} places in a row show no tissue: is this volume of the kind, and its polarity right? The last: {reason}"
    )


def check_room(tissues: Sequence[Tissue], settings: TrainingSettings) -> None:
    """Raise InputError if no volume is large enough for the widest series in the largest voxels."""
    widest = np.deg2rad(settings.ranges[1] / 2)
    for tissue in tissues:
        try:
            simulated(tissue, settings, np.array([widest]), max(settings.voxel_size[1], tissue.voxel_size), 0)
            return
        except InputError as error:
            reason = str(error)
    raise InputError(
        f"this volume gives no series at {np.rad2deg(widest):g} degrees in voxels of {settings.voxel_size[1]:g}: {reason}"
    )


def tissue_spectrum(tissues: Sequence[Tissue], voxel_size: float, unit_std: float, seed: int) -> Spectrum:
    """Spectrum of the tissue scaled to a standard deviation of ``unit_std``, from twelve blocks."""
    rng = np.random.default_rng([seed, 2**31])
    edge = int(min(96, *(min(t.grey.shape) * t.voxel_size // voxel_size for t in tissues)))
    blocks = []
    for _ in range(12):
        tissue = pick(tissues, rng)
        blocks.append(tissue.block((edge, edge, edge), voxel_size / tissue.voxel_size, rng))
    spread = float(np.sqrt(np.mean([b.var() for b in blocks])))
    return Spectrum.fit([(b - b.mean()) * np.float32(unit_std / spread) for b in blocks], voxel_size)


class Source:
    """Draws in order from ``start`` on, made in a process of their own so that the training does not wait.

    It ends where ``stopped`` is set while a draw is waited for.

    Raises
    ------
    TomopriorError
        What the process stopped at, in one line.
    """

    def __init__(
        self,
        tissues: Sequence[Tissue],
        spectrum: Spectrum,
        settings: TrainingSettings,
        start: int,
        stopped: threading.Event | None = None,
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._stopped = stopped or threading.Event()
        self._link, there = context.Pipe()
        self._process = context.Process(target=_produce, args=(there,), daemon=True, name="draws")
        with sheltered():
            self._process.start()
        there.close()  # only the process holds it now, so that the link ends when the process does
        try:
            # not as arguments: multiprocessing waits for ever for a process that dies before it has read them
            self._link.send((tissues, spectrum, settings, start))
        except OSError:
            raise self._died() from None
        except Exception as error:  # whatever pickling raises
            self.close()
            raise InputError(
                f"a volume cannot be handed to another process ({one_line(error)}); read it into memory first"
            ) from error

    def __iter__(self) -> Iterator[Draw]:
        return self

    def __next__(self) -> Draw:
        while not self._link.poll(POLL):
            if self._stopped.is_set():
                raise StopIteration
        try:
            found = self._link.recv()
        except (EOFError, OSError):
            raise self._died() from None
        if isinstance(found, BaseException):
            raise found
        return Draw.from_dict({k: torch.from_numpy(v) for k, v in found.items()})

    def _died(self) -> TomopriorError:
        self._process.join(5)
        code = self._process.exitcode
        if code == -signal.SIGKILL:
            return TomopriorError("the process that simulates series was killed; is there memory enough?")
        return TomopriorError(
            f"the process that simulates series has died (exit code {code}); a script that trains must do so under "
            "if __name__ == '__main__'"
        )

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join()
        self._process.close()
        self._link.close()


def _produce(link: Connection) -> None:
    torch.set_num_threads(1)
    # of the free memory's share that projectors may keep otherwise, numbers would depend: the backend is chosen by it
    os.environ.setdefault("TOMOPRIOR_MATRIX_BUDGET", str(BUDGET))
    made: queue.Queue[Any] = queue.Queue(AHEAD - 1)
    sender = threading.Thread(target=_send, args=(link, made), daemon=True)
    sender.start()
    try:
        tissues, spectrum, settings, index = link.recv()
        while True:
            made.put({k: v.numpy() for k, v in draw(tissues, spectrum, settings, index).to_dict().items()})
            index += 1
    except EOFError:  # whoever wanted the draws is gone
        return
    except (TomopriorError, MemoryError) as error:
        made.put(error)
    except Exception as error:
        made.put(TomopriorError(f"simulating a series failed with {type(error).__name__}: {one_line(error)}"))
    made.put(None)
    sender.join()


def _send(link: Connection, made: queue.Queue[Any]) -> None:
    try:
        while (found := made.get()) is not None:
            link.send(found)
    except OSError:  # whoever wanted the draws is gone
        os._exit(0)
