"""A step of a training: the loss of the tiles, and the learning rate that the remaining time allows."""

from __future__ import annotations

import math

import torch

from tomoprior.methods.diffusion.denoiser import Denoiser
from tomoprior.methods.diffusion.prior import choose_network_dtype
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.methods.learning.optimiser import Optimiser
from tomoprior.methods.learning.state import initial_parts
from tomoprior.methods.learning.unet import build_seeded
from tomoprior.training.checkpoint import State
from tomoprior.training.settings import TrainingSettings
from tomoprior.training.simulator import Simulator
from tomoprior.training.tiles import Batch, cut_batch
from tomoprior.training.validation import Validation

#: Steps in a row without a finite gradient after which a training ends with an error. A single one, which half precision may
#: cause, is skipped.
PATIENCE = 10

#: Steps on a GPU between two looks at their losses.
LOOK_EVERY = 50

#: gamma of the running average of Karras et al. 2024 (EDM2), eq. 121: weights of step t count as t^gamma, about the last tenth.
GAMMA = 6.94

#: Weight of the error that all voxels of a plane share. Half of the whole error comes from the faces of the section, which the
#: tilts hardly show; at its full weight it would drown the structure that can be learned. The conditional mean minimises any
#: quadratic loss, so these weights change the order of learning, not the optimum.
PLANES = 0.2


def new_denoiser(settings: TrainingSettings, spectrum: Spectrum, device: torch.device | str = "cpu") -> Denoiser:
    """Return the network before its first step, the same for the same seed on any device."""
    return build_seeded(lambda: Denoiser(settings.shape, spectrum), settings.seed, device)


def initial_state(denoiser: Denoiser) -> State:
    """Return the state before the first step; its weights are the network's own."""
    return State(*initial_parts(denoiser))


def average_decay(step: int) -> float:
    """Return the weight of the old average in a step, counted from 1: a mean whose weights grow as ``step^GAMMA``."""
    return float((1 - 1 / step) ** (GAMMA + 1))


class Training:
    """A network and the state of its training, which every step changes in place."""

    def __init__(
        self, denoiser: Denoiser, state: State, settings: TrainingSettings, spectrum: Spectrum, check: Validation | None
    ) -> None:
        self.state, self.settings, self.spectrum, self.check = state, settings, spectrum, check
        self.device = next(denoiser.parameters()).device
        self.optimiser = Optimiser(
            denoiser, state, average_decay, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay,
            patience=PATIENCE, look_every=LOOK_EVERY if self.device.type == "cuda" else 1,
        )  # fmt: skip
        self.dtype = choose_network_dtype(self.device)
        tile = math.prod(settings.tile_shape)
        draw = settings.height * math.prod(settings.field)
        #: Steps from one group of draws to the next.
        self.every = max(1, round(settings.reuse * settings.group * draw / (tile * settings.batch_size)))

    @property
    def share(self) -> float:
        """Finished share of the time or the steps."""
        s = self.settings
        return self.state.step / s.steps if s.steps is not None else self.state.seconds / (60 * s.minutes)

    def refill(self, simulator: Simulator) -> None:
        """Simulate the groups of draws that are due: one at the start and one every ``every`` steps, each with its blocks.

        There are at most ``keep`` draws, and as many blocks; the oldest are dropped first.
        """
        state, keep = self.state, self.settings.keep
        due = 1 + state.step // self.every
        while state.drawn < due:
            # sizes differ between groups: a search for the fastest convolution of each size would take longer than all of them
            with (
                torch.no_grad(),
                torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=True),
            ):
                state.draws = [*state.draws, *simulator.draws(state.drawn)][-keep:]
                if self.settings.free > 0:
                    state.blocks = [*state.blocks, *simulator.blocks(state.drawn)][-keep:]
            state.drawn += 1

    def step(self, share: float) -> None:
        """Take one step with the learning rate for this share of the time.

        Raises
        ------
        InputError
            If ``PATIENCE`` steps in a row have no finite gradient; the weights are then as before.
        """
        state = self.state
        batch = cut_batch(state.draws, state.blocks, self.settings, state.step + self.optimiser.skipped)
        self.optimiser.step(self._loss(batch), self.learning_rate(share, state.step + 1))

    def settle(self) -> None:
        """Add the losses of the last steps to the state; see ``Optimiser.settle``."""
        self.optimiser.settle()

    def averaged(self) -> Denoiser:
        """Return a network with the running average of the weights, ready for use on the training's device."""
        return self.optimiser.averaged()

    def _loss(self, batch: Batch) -> torch.Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            denoised, size = self.optimiser.network(
                batch.noisy, batch.sigma, batch.linear, batch.inside, batch.depth, batch.coverage, batch.numbers,
                batch.conditioned,
            )  # fmt: skip
        inside = (batch.depth.abs() < 1).float()
        difference = denoised - batch.truth
        plane = difference.mean((2, 3))
        error = difference.square().mean((2, 3)) - (1 - PLANES) * plane.square()
        error = (error * inside).sum(1) / inside.sum(1)
        # in units of the error that the linear part leaves: of the same size at every noise level
        loss: torch.Tensor = (error / size**2).mean()
        return loss

    def learning_rate(self, share: float, step: int) -> float:
        """Return the learning rate of a step, counted from 1, at a share of the time: a rise, then half a cosine."""
        s = self.settings
        top = s.learning_rate_end + (s.learning_rate - s.learning_rate_end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
        return top * min(1.0, step / max(1, s.warm_up))

    def validate(self, share: float) -> None:
        """Add a row to the log, with the score of the validation, if one is due."""
        s, state = self.settings, self.state
        every = 1 / 20 if s.steps is not None else s.validate_every / s.minutes
        if share < min((len(state.rows) + 1) * every, 1.0):
            return
        self.settle()
        row = {
            "step": state.step, "minutes": round(state.seconds / 60, 2), "learning_rate": self.learning_rate(share, state.step),
            "loss": sum(state.losses) / max(1, len(state.losses)), "validation_psnr": math.nan, "linear_psnr": math.nan,
        }  # fmt: skip
        state.losses.clear()
        if self.check is not None:
            row.update(self.check.score(self.averaged()))
        state.rows.append(row)

    def shown(self) -> dict[str, float]:
        """Return the values for a progress bar."""
        recent = self.state.losses[-50:]
        last = self.state.rows[-1] if self.state.rows else {}
        values = {"loss": sum(recent) / len(recent)} if recent else {}
        if not math.isnan(last.get("validation_psnr", math.nan)):
            values["validation_psnr"] = last["validation_psnr"]
        return values
