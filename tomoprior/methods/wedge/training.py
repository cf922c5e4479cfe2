"""Training in rounds: learn from rotated cubes, fill in the frequencies that no tilt measured, and learn again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from tomoprior.methods.learning.optimiser import Optimiser
from tomoprior.methods.learning.state import Arrays, NetworkState, initial_parts
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
        The volume that cubes are cut from, normalised; of halves both, ``(2, nz, ny, nx)``.
    losses
        One per step.
    rounds
        Results of each finished round.
    best
        With halves: the average weights after the round that predicted the other half best. Otherwise empty.
    """

    filled: torch.Tensor = field(kw_only=True)
    rounds: list[dict[str, float]] = field(default_factory=list)
    best: Arrays = field(default_factory=dict)

    @property
    def chosen(self) -> Arrays:
        """The weights that predict the result."""
        return self.best or self.average


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
        The normalised volume with the missing wedge, ``(nz, ny, nx)``; the cubes of the first round are cut from it. Of halves
        both, ``(2, nz, ny, nx)``.
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
        """Return the filled-in volume, normalised; see ``fill``. Of halves it is the mean of both."""
        if keep_measured and self.start.ndim == 3:
            return self.state.filled
        network = self.optimiser.averaged()
        network.load_state_dict(self.state.chosen)
        return fill(network, self.start, self.region, self.settings.tile_size, keep_measured=keep_measured)

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
        volumes = _list_volumes(self.start)
        predictions = [_predict(network, volume, self.region, self.settings.tile_size) for volume in volumes]
        errors = {} if len(volumes) == 1 else {"half_error": measure_half_error(predictions, volumes, self.region)}
        if errors and errors["half_error"] < min((r["half_error"] for r in state.rounds), default=math.inf):
            state.best = {name: value.clone() for name, value in state.average.items()}
        filled = [_keep_measured_(p, v, self.region) for p, v in zip(predictions, volumes, strict=True)]
        state.filled = filled[0] if len(filled) == 1 else torch.stack(filled)
        change = float((state.filled - before).norm() / state.filled.norm())
        tail = state.losses[-max(1, self.settings.steps_per_round // 4) :]
        power = sum(self.region.missing_share(volume) for volume in filled) / len(filled)
        state.rounds.append({"loss": sum(tail) / len(tail), "inferred_power": power, "change": change, **errors})


def fill(network: FillNetwork, start: torch.Tensor, region: Region, tile_size: int, *, keep_measured: bool) -> torch.Tensor:
    """Return the volume with the network's prediction at the unmeasured frequencies.

    Parameters
    ----------
    start
        Normalised, ``(nz, ny, nx)``, or both halves, ``(2, nz, ny, nx)``; the result is then the mean of both.
    keep_measured
        False: the prediction replaces the measured frequencies too.
    """
    filled = []
    for volume in _list_volumes(start):
        prediction = _predict(network, volume, region, tile_size)
        filled.append(_keep_measured_(prediction, volume, region) if keep_measured else prediction)
    return filled[0] if len(filled) == 1 else (filled[0] + filled[1]) / 2


def measure_half_error(predictions: list[torch.Tensor], starts: list[torch.Tensor], region: Region) -> float:
    """Return the squared error with which the predictions from both halves agree with the other half, over its power.

    Only the measured frequencies count. The noise of the other half is independent, so that its share of the error is the same
    for all networks.
    """
    error = total = 0.0
    for prediction, other in zip(predictions, reversed(starts), strict=True):
        difference = region.keep_(prediction - other, "measured")
        error += float(difference.double().square().sum())
        total += float(region.keep_(other.clone(), "measured").double().square().sum())
    return error / max(total, 1e-300)


def _list_volumes(start: torch.Tensor) -> list[torch.Tensor]:
    return list(start) if start.ndim == 4 else [start]


def _predict(network: FillNetwork, volume: torch.Tensor, region: Region, tile_size: int) -> torch.Tensor:
    """Return the network's prediction from the measured frequencies of a volume."""
    with torch.no_grad():
        return predict(network, region.keep_(volume.clone(), "measured"), tile_size)


def _keep_measured_(prediction: torch.Tensor, start: torch.Tensor, region: Region) -> torch.Tensor:
    """Replace the measured frequencies of a prediction by those of its start, in place."""
    return region.keep_(prediction.sub_(start), "missing").add_(start)
