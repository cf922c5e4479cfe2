"""Training in rounds: learn from rotated cubes, fill in what no tilt measured, learn again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from tomoprior.errors import InputError
from tomoprior.methods.wedge.cubes import Batch, Cubes
from tomoprior.methods.wedge.network import UNet
from tomoprior.methods.wedge.prediction import predict
from tomoprior.methods.wedge.region import Region
from tomoprior.methods.wedge.settings import WedgeSettings
from tomoprior.progress import Progress

#: Steps over which the rate rises, and what is left of it at the end.
WARM_UP, END = 40, 0.1
#: Decay of the weights' running average, which predicts; over the first steps it forgets faster.
AVERAGE = 0.98
#: Gradients are cut to this norm.
CLIP = 1.0
#: Seconds between two checkpoints within a round.
EVERY = 120.0


@dataclass
class State:
    """A training between two steps: all that it takes to go on as if it had never stopped.

    Attributes
    ----------
    weights, average, moments
        Of the network, their running average, and Adam's two by the weights' names with ``.m`` and ``.v``.
    filled
        The volume that cubes are cut from, normalised.
    step
        Steps done.
    losses
        One a step.
    rounds
        What each finished round led to.
    """

    weights: dict[str, torch.Tensor]
    average: dict[str, torch.Tensor]
    moments: dict[str, torch.Tensor]
    filled: torch.Tensor
    step: int = 0
    losses: list[float] = field(default_factory=list)
    rounds: list[dict[str, float]] = field(default_factory=list)


def new_network(width: int, levels: int, seed: int, device: torch.device) -> UNet:
    """A network before its first step, the same for the same seed on any device."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        made = UNet(width, levels)
    # channels last: convolutions of this kind are faster on the CPU
    return made.to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[no-any-return, call-overload]


def initial_state(network: UNet, start: torch.Tensor) -> State:
    """The state before the first step; its weights are the network's own."""
    weights = dict(network.state_dict())
    moments = {f"{k}.{m}": torch.zeros_like(v) for k, v in weights.items() for m in "mv"}
    return State(weights, {k: v.clone() for k, v in weights.items()}, moments, start.clone())


class Training:
    """The rounds.

    Parameters
    ----------
    start
        The normalised volume with the wedge missing, ``(nz, ny, nx)``, as the cubes are cut from it in the first round.
    region
        What the tilts measured.
    cubes
        Where they are cut.
    save
        Called with the state when it is due.
    """

    def __init__(
        self,
        start: torch.Tensor,
        region: Region,
        cubes: Cubes,
        network: UNet,
        state: State,
        settings: WedgeSettings,
        seed: int,
        *,
        save: Callable[[State], None] | None = None,
        progress: Progress | None = None,
    ) -> None:
        network.load_state_dict(state.weights)
        state.weights = dict(network.state_dict())
        self.start, self.region, self.cubes, self.network = start, region, cubes, network.train()
        self.state, self.settings, self.seed = state, settings, seed
        self.save, self.progress = save, progress
        self.parameters = dict(network.named_parameters())
        self.whole = True  # False while a step changes the state
        self._saved = time.monotonic()

    def _keep(self) -> None:
        if self.save is not None:
            self.save(self.state)
        self._saved = time.monotonic()

    def run(self) -> None:
        """All rounds that are left; on the way out by an exception a state that is whole is saved."""
        state, settings = self.state, self.settings
        try:
            while len(state.rounds) < settings.num_iter:
                while state.step < (len(state.rounds) + 1) * settings.steps:
                    self._step()
                    if self.progress is not None:
                        recent = state.losses[-20:]
                        self.progress(state.step, settings.total, {"loss": sum(recent) / len(recent)})
                    if time.monotonic() - self._saved > EVERY:
                        self._keep()
                self._fill()
                self._keep()
        except KeyboardInterrupt:
            if self.whole:
                self._keep()
            raise

    def averaged(self) -> UNet:
        """A network with the running average of the weights."""
        judged = new_network(self.settings.width, self.settings.levels, 0, self.start.device)
        judged.load_state_dict(self.state.average)
        return judged.eval().requires_grad_(False)

    def rate(self) -> float:
        """Learning rate of the next step."""
        share = self.state.step / self.settings.total
        fallen = END + (1 - END) * (1 + math.cos(math.pi * share)) / 2
        return self.settings.learning_rate * fallen * min(1.0, (self.state.step + 1) / WARM_UP)

    def _step(self) -> None:
        """One step of Adam on new cubes; raises InputError if the loss is not finite."""
        state, settings = self.state, self.settings
        rng = np.random.default_rng([self.seed, state.step])
        noise = settings.noise(len(state.rounds))
        batch = self.cubes.batch(state.filled, settings.batch_size, rng, noise)
        with torch.enable_grad():
            loss = self._loss(batch)
            self.network.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters.values(), CLIP))
        value = float(loss.detach())
        if not math.isfinite(norm + value):
            raise InputError(
                f"the loss is not finite in step {state.step + 1}; try a learning_rate below {settings.learning_rate:g}"
            )
        self.whole = False
        self._descend(self.rate())
        state.losses.append(value)
        state.step += 1
        self.whole = True

    def _loss(self, batch: Batch) -> torch.Tensor:
        """Mean square of what the target is missed by, where it was measured."""
        error = self.network(batch.given) - batch.target
        loss: torch.Tensor
        if self.settings.loss_region == "all":
            loss = error.square().mean()
            return loss
        # turned back, the region is the volume's own; the zeros behind keep one face from the other
        error = torch.stack([r.undo(e) for r, e in zip(batch.rotations, error, strict=True)])
        edge = self.cubes.edge
        spectrum = self.region.spectrum(error, (edge, edge)) * self.region.mask(edge, edge)
        loss = self.region.back(spectrum, edge, edge).square().sum() / error.numel()
        return loss

    def _descend(self, rate: float) -> None:
        step = self.state.step + 1
        decay = min(AVERAGE, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, p in self.parameters.items():
                assert p.grad is not None
                m, v = self.state.moments[f"{name}.m"], self.state.moments[f"{name}.v"]
                m.lerp_(p.grad, 0.1)
                v.mul_(0.99).addcmul_(p.grad, p.grad, value=0.01)
                size = (v / (1 - 0.99**step)).sqrt_().add_(1e-8)
                p.addcdiv_(m, size, value=-rate / (1 - 0.9**step))
                self.state.average[name].lerp_(p, 1 - decay)

    def _fill(self) -> None:
        """The end of a round: what no tilt measured comes from the network's prediction."""
        state, steps = self.state, self.settings.steps
        before = state.filled
        state.filled = fill(self.averaged(), self.start, self.region, self.settings, keep_measured=True)
        change = float((state.filled - before).norm() / state.filled.norm())
        tail = state.losses[-max(1, steps // 4) :]
        state.rounds.append(
            {"loss": sum(tail) / len(tail), "inferred_power": self.region.missing_share(state.filled), "change": change}
        )


def fill(network: UNet, start: torch.Tensor, region: Region, settings: WedgeSettings, *, keep_measured: bool) -> torch.Tensor:
    """The volume with the network's prediction where no tilt measured, or everywhere; normalised, shape of ``start``."""
    with torch.no_grad():
        seen = region.split_(start.clone(), keep="measured")
        found = predict(network, seen, settings.tile_size)
        del seen
        if keep_measured:
            found = region.split_(found.sub_(start), keep="missing").add_(start)
    return found
