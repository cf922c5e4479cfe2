"""A step of a training: the tiles' loss, Adam, the running average, and the rate that the time left allows."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from tomoprior.errors import TomopriorError
from tomoprior.methods.diffusion.denoiser import Denoiser, loss_weight
from tomoprior.methods.diffusion.prior import network_dtype
from tomoprior.training.checkpoint import State
from tomoprior.training.draws import Draw
from tomoprior.training.settings import TrainingSettings
from tomoprior.training.tiles import Batch, batch
from tomoprior.training.validation import Validation

#: Adam's decays, and what keeps it from dividing by zero.
BETAS, EPSILON = (0.9, 0.99), 1e-8

#: Gradients are cut to this norm.
CLIP = 1.0

#: gamma of the running average of Karras et al. 2024 (EDM2), eq. 121: weights of step t count as t^gamma, about the last tenth.
GAMMA = 6.94

#: Weight of the error that all voxels of a plane share. Where a section ends is half of the whole error and hardly shows in
#: the tilts; at its full weight it drowns what there is to learn of structure. The mean given the data has the least error for
#: every quadratic form, so that weights change what is learned first, not where it ends.
PLANES = 0.1

#: Draws that the first step waits for.
FIRST = 2


def fresh(settings: TrainingSettings) -> Denoiser:
    """The network as a training begins with it: the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(settings.seed)
        # channels last: convolutions of this kind are 1.5 times faster on the CPU
        made = Denoiser(settings.shape)
        return made.to(memory_format=torch.channels_last_3d)  # type: ignore[no-any-return, call-overload]


def begin(denoiser: Denoiser) -> State:
    """The state before the first step; its weights are the network's own."""
    weights = dict(denoiser.state_dict())
    zeros = {f"{k}.{m}": torch.zeros_like(v) for k, v in weights.items() for m in "mv"}
    return State(weights, {k: v.clone() for k, v in weights.items()}, zeros)


class Training:
    """A network and the state of its training, which every step changes in place."""

    def __init__(self, denoiser: Denoiser, state: State, settings: TrainingSettings, check: Validation | None) -> None:
        denoiser.load_state_dict(state.weights)
        state.weights = dict(denoiser.state_dict())
        self.denoiser, self.state, self.settings, self.check = denoiser.train(), state, settings, check
        self.parameters = dict(denoiser.named_parameters())
        self.dtype = network_dtype(torch.device("cpu"))
        tile = math.prod(settings.tile_shape)
        draw = settings.height * math.prod(settings.field)
        #: Steps from one draw to the next.
        self.every = max(1, round(settings.reuse * draw / (tile * settings.batch)))

    @property
    def share(self) -> float:
        """Of the time or the steps, what has gone by."""
        s = self.settings
        return self.state.step / s.steps if s.steps is not None else self.state.seconds / (60 * s.minutes)

    def refill(self, source: Iterator[Draw]) -> bool:
        """Take in the draws that are due: at first two, then one every so many steps; False if the source ended before.

        There are ``keep`` at most; the oldest goes first.
        """
        state = self.state
        due = FIRST + state.step // self.every
        while state.drawn < due:
            made = next(source, None)
            if made is None:
                return False
            state.draws = [*state.draws, made][-self.settings.keep :]
            state.drawn += 1
        return True

    def step(self, share: float) -> None:
        """One step of Adam at the rate that goes with this share of the time.

        Raises
        ------
        TomopriorError
            If the gradient is not finite; the state is as before then.
        """
        state, settings = self.state, self.settings
        made = batch(state.draws, settings, state.step)
        loss = self._loss(made)
        for p in self.parameters.values():
            p.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), CLIP)
        if not math.isfinite(float(norm)):
            raise TomopriorError(f"step {state.step + 1} has no finite gradient; a lower rate may help (--set rate=3e-4)")
        state.step += 1
        rate = self.rate(share)
        # a weighted mean whose weights grow as t^gamma
        decay = (1 - 1 / state.step) ** (GAMMA + 1)
        with torch.no_grad():
            for name, p in self.parameters.items():
                if p.grad is None:
                    continue
                m, v = state.moments[f"{name}.m"], state.moments[f"{name}.v"]
                m.lerp_(p.grad, 1 - BETAS[0])
                v.mul_(BETAS[1]).addcmul_(p.grad, p.grad, value=1 - BETAS[1])
                size = (v / (1 - BETAS[1] ** state.step)).sqrt_().add_(EPSILON)
                p.addcdiv_(m, size, value=-rate / (1 - BETAS[0] ** state.step))
                state.average[name].lerp_(p, 1 - decay)
        state.losses.append(float(loss.detach()))

    def _loss(self, made: Batch) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            found = self.denoiser(made.noisy, made.sigma, made.linear, made.depth, made.coverage, made.numbers, made.told)
        inside = (made.depth.abs() < 1).float()
        difference = found - made.truth
        plane = difference.mean((2, 3))
        error = difference.square().mean((2, 3)) - (1 - PLANES) * plane.square()
        error = (error * inside).sum(1) / inside.sum(1)
        loss: torch.Tensor = (loss_weight(made.sigma) * error).mean()
        return loss

    def rate(self, share: float) -> float:
        """Learning rate at a share of the time: a rise over the first steps, then half a cosine."""
        s = self.settings
        top = s.rate_end + (s.rate - s.rate_end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
        return top * min(1.0, self.state.step / max(1, s.warm_up))

    def validate(self, share: float) -> None:
        """A row of the log, and the score that goes with it, when it is due."""
        s, state = self.settings, self.state
        every = 1 / 20 if s.steps is not None else s.validate_every / s.minutes
        if share < min((len(state.rows) + 1) * every, 1.0):
            return
        row = {
            "step": state.step, "minutes": round(state.seconds / 60, 2), "rate": self.rate(share),
            "loss": sum(state.losses) / max(1, len(state.losses)), "validation_psnr": math.nan, "linear_psnr": math.nan,
        }  # fmt: skip
        state.losses = []
        if self.check is not None:
            row["validation_psnr"], row["linear_psnr"] = self.check.score(self.averaged())
        state.rows.append(row)

    def averaged(self) -> Denoiser:
        """A network with the running average of the weights, ready for use."""
        judged = fresh(self.settings)
        judged.load_state_dict(self.state.average)
        return judged.eval().requires_grad_(False)

    def shown(self) -> dict[str, float]:
        """What a progress bar says."""
        recent = self.state.losses[-50:]
        last = self.state.rows[-1] if self.state.rows else {}
        values = {"loss": sum(recent) / len(recent)} if recent else {}
        if not math.isnan(last.get("validation_psnr", math.nan)):
            values["validation_psnr"] = last["validation_psnr"]
        return values
