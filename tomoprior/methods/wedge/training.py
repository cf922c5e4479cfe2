"""Training in rounds: learn from rotated cubes, fill in the frequencies that no tilt measured, and learn again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from tomoprior.methods.learning.optimiser import Optimiser
from tomoprior.methods.learning.state import NetworkState, initial_parts
from tomoprior.methods.wedge.cubes import Batch, Cubes
from tomoprior.methods.wedge.network import FillNetwork
from tomoprior.methods.wedge.prediction import predict
from tomoprior.methods.wedge.region import Region
from tomoprior.methods.wedge.settings import WedgeSettings
from tomoprior.progress import Progress

#: Steps over which the learning rate rises, and the share of it that is left at the end.
WARM_UP, END = 40, 0.1
#: Decay of the running average of the weights, which predicts; in the first steps it is smaller.
AVERAGE = 0.98
#: Seconds between two checkpoints within a round.
SAVE_EVERY = 120.0


@dataclass
class State(NetworkState):
    """A training between two steps: everything that it needs to continue as if it had never stopped.

    Attributes
    ----------
    filled
        The volume that cubes are cut from, normalised.
    losses
        One per step.
    rounds
        Results of each finished round.
    """

    filled: torch.Tensor = field(kw_only=True)
    rounds: list[dict[str, float]] = field(default_factory=list)


def initial_state(network: FillNetwork, start: torch.Tensor) -> State:
    """Return the state before the first step; its weights are the network's own."""
    return State(*initial_parts(network), filled=start.clone())


def average_decay(step: int) -> float:
    """Return the weight of the old average in a step, counted from 1."""
    return min(AVERAGE, (1 + step) / (10 + step))


class Training:
    """The rounds of a training.

    Parameters
    ----------
    start
        The normalised volume with the missing wedge, ``(nz, ny, nx)``; the cubes of the first round are cut from it.
    region
        Frequencies that the tilts measured.
    cubes
        Source of the training cubes.
    save
        Called with the state after every round, every two minutes, and on Ctrl-C.
    """

    def __init__(
        self,
        start: torch.Tensor,
        region: Region,
        cubes: Cubes,
        network: FillNetwork,
        state: State,
        settings: WedgeSettings,
        seed: int,
        *,
        save: Callable[[State], None],
        progress: Progress | None = None,
    ) -> None:
        self.start, self.region, self.cubes = start, region, cubes
        self.state, self.settings, self.seed = state, settings, seed
        self.optimiser = Optimiser(network, state, average_decay, learning_rate=settings.learning_rate)
        self.progress = progress
        self._save = save
        self._saved = time.monotonic()

    def run(self) -> None:
        """Run the remaining rounds; on Ctrl-C between two steps the state is saved first."""
        state, settings = self.state, self.settings
        try:
            while len(state.rounds) < settings.num_iter:
                while state.step < (len(state.rounds) + 1) * settings.steps_per_round:
                    self._step()
                    if self.progress is not None:
                        recent = state.losses[-20:]
                        self.progress(state.step, settings.total_steps, {"loss": sum(recent) / len(recent)})
                    if time.monotonic() - self._saved > SAVE_EVERY:
                        self.save()
                self._finish_round()
                self.save()
        except KeyboardInterrupt:
            if self.optimiser.consistent:
                self.save()
            raise

    def save(self) -> None:
        """Save the state now."""
        self._save(self.state)
        self._saved = time.monotonic()

    def learning_rate(self) -> float:
        """Return the learning rate of the next step."""
        share = self.state.step / self.settings.total_steps
        decayed = END + (1 - END) * (1 + math.cos(math.pi * share)) / 2
        return self.settings.learning_rate * decayed * min(1.0, (self.state.step + 1) / WARM_UP)

    def result(self, *, keep_measured: bool) -> torch.Tensor:
        """Return the filled-in volume, normalised; see ``fill``."""
        if keep_measured:
            return self.state.filled
        return fill(self.optimiser.averaged(), self.start, self.region, self.settings.tile_size, keep_measured=False)

    def _step(self) -> None:
        """Take one step on new cubes; raises InputError if its gradient is not finite."""
        state, settings = self.state, self.settings
        rng = np.random.default_rng([self.seed, state.step])
        batch = self.cubes.batch(state.filled, settings.batch_size, rng, settings.noise(len(state.rounds)))
        with torch.enable_grad():
            self.optimiser.step(self._loss(batch), self.learning_rate())

    def _loss(self, batch: Batch) -> torch.Tensor:
        """Return the mean squared error of the targets, at the frequencies that a tilt measured."""
        error = self.optimiser.network(batch.inputs) - batch.target
        loss: torch.Tensor
        if self.settings.loss_region == "all":
            loss = error.square().mean()
            return loss
        # rotated back, the region is that of the volume; the zeros behind it separate opposite faces
        error = torch.stack([r.undo(e) for r, e in zip(batch.rotations, error, strict=True)])
        edge = self.cubes.edge
        spectrum = self.region.spectrum(error, (edge, edge)) * self.region.mask(edge, edge)
        loss = self.region.inverse(spectrum, edge, edge).square().sum() / error.numel()
        return loss

    def _finish_round(self) -> None:
        """Fill in the unmeasured frequencies from the network's prediction, and note the results of the round."""
        state = self.state
        before = state.filled
        network = self.optimiser.averaged()
        state.filled = fill(network, self.start, self.region, self.settings.tile_size, keep_measured=True)
        change = float((state.filled - before).norm() / state.filled.norm())
        tail = state.losses[-max(1, self.settings.steps_per_round // 4) :]
        state.rounds.append(
            {"loss": sum(tail) / len(tail), "inferred_power": self.region.missing_share(state.filled), "change": change}
        )


def fill(network: FillNetwork, start: torch.Tensor, region: Region, tile_size: int, *, keep_measured: bool) -> torch.Tensor:
    """Return the volume with the network's prediction at the unmeasured frequencies.

    Parameters
    ----------
    start
        Normalised, ``(nz, ny, nx)``.
    keep_measured
        False: the prediction replaces the measured frequencies too.
    """
    with torch.no_grad():
        measured = region.keep_(start.clone(), "measured")
        filled = predict(network, measured, tile_size)
        del measured
        if keep_measured:
            filled = region.keep_(filled.sub_(start), "missing").add_(start)
    return filled
