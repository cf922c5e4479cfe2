"""A step of a training: the tiles' loss, Adam, the running average, and the rate that the time left allows."""

from __future__ import annotations

import math

import torch

from tomoprior.errors import TomopriorError
from tomoprior.methods.diffusion.denoiser import Denoiser
from tomoprior.methods.diffusion.prior import choose_network_dtype
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.training.checkpoint import State
from tomoprior.training.draws import Simulator
from tomoprior.training.settings import TrainingSettings
from tomoprior.training.tiles import Batch, cut_batch
from tomoprior.training.validation import Validation

#: Adam's decays, and what keeps it from dividing by zero.
BETAS, EPSILON = (0.9, 0.99), 1e-8

#: Gradients are cut to this norm.
CLIP = 1.0

#: Steps in a row without a finite gradient after which a training is given up; a single one, which half precision may give, is
#: left out.
MOST_SKIPPED = 10

#: Steps on a GPU between two looks at their losses.
LOOK_EVERY = 50

#: gamma of the running average of Karras et al. 2024 (EDM2), eq. 121: weights of step t count as t^gamma, about the last tenth.
GAMMA = 6.94

#: Weight of the error that all voxels of a plane share. Where a section ends is half of the whole error and hardly shows in
#: the tilts; at its full weight it drowns what there is to learn of structure. The mean given the data has the least error for
#: every quadratic form, so that weights change what is learned first, not where it ends.
PLANES = 0.2


def new_denoiser(settings: TrainingSettings, spectrum: Spectrum, device: torch.device | str = "cpu") -> Denoiser:
    """The network as a training begins with it: the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(settings.seed)
        # channels last: convolutions of this kind are 1.5 times faster on the CPU, and what tensor cores want
        made = Denoiser(settings.shape, spectrum)
        return made.to(device, memory_format=torch.channels_last_3d)  # type: ignore[no-any-return, call-overload]


def initial_state(denoiser: Denoiser) -> State:
    """The state before the first step; its weights are the network's own."""
    weights = dict(denoiser.state_dict())
    zeros = {f"{k}.{m}": torch.zeros_like(v) for k, v in weights.items() for m in "mv"}
    return State(weights, {k: v.clone() for k, v in weights.items()}, zeros)


class Training:
    """A network and the state of its training, which every step changes in place."""

    def __init__(
        self, denoiser: Denoiser, state: State, settings: TrainingSettings, spectrum: Spectrum, check: Validation | None
    ) -> None:
        denoiser.load_state_dict(state.weights)
        state.weights = dict(denoiser.state_dict())
        self.denoiser, self.state, self.settings, self.check = denoiser.train(), state, settings, check
        self.spectrum = spectrum
        self.parameters = dict(denoiser.named_parameters())
        self.device = next(iter(self.parameters.values())).device
        self.dtype = choose_network_dtype(self.device)
        self.skipped = 0
        self._pending: list[tuple[torch.Tensor, torch.Tensor]] = []
        cuda = self.device.type == "cuda"
        self._adam = torch.optim.AdamW(
            self.parameters.values(), lr=settings.rate, betas=BETAS, eps=EPSILON, weight_decay=settings.weight_decay, fused=cuda
        )
        for name, p in self.parameters.items():  # the moments live in the state, which is saved
            self._adam.state[p] = {
                "step": torch.tensor(float(state.step), device=self.device if cuda else "cpu"),
                "exp_avg": state.moments[f"{name}.m"],
                "exp_avg_sq": state.moments[f"{name}.v"],
            }
        tile = math.prod(settings.tile_shape)
        draw = settings.height * math.prod(settings.field)
        #: Steps from one group of draws to the next.
        self.every = max(1, round(settings.reuse * settings.group * draw / (tile * settings.batch)))

    @property
    def share(self) -> float:
        """Of the time or the steps, what has gone by."""
        s = self.settings
        return self.state.step / s.steps if s.steps is not None else self.state.seconds / (60 * s.minutes)

    def refill(self, simulator: Simulator) -> None:
        """Make the groups of draws that are due: at first one, then one every so many steps, and a group of blocks with each.

        There are ``keep`` draws at most, and as many blocks; the oldest go first.
        """
        state, keep = self.state, self.settings.keep
        due = 1 + state.step // self.every
        while state.drawn < due:
            # sizes differ from group to group: trying which convolution is fastest for each would take longer than all of them
            with (
                torch.no_grad(),
                torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=True),
            ):
                state.draws = [*state.draws, *simulator.draws(state.drawn)][-keep:]
                if self.settings.free > 0:
                    state.blocks = [*state.blocks, *simulator.blocks(state.drawn)][-keep:]
            state.drawn += 1

    def step(self, share: float) -> None:
        """One step of Adam at the rate that goes with this share of the time.

        Raises
        ------
        TomopriorError
            If step after step has no finite gradient; the weights are as before then.
        """
        state, settings = self.state, self.settings
        made = cut_batch(state.draws, state.blocks, settings, state.step + self.skipped)
        loss = self._loss(made)
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), CLIP)
        if self.device.type == "cuda":  # to look at every step would make the GPU wait: what is not finite counts as zero
            for p in self.parameters.values():
                if p.grad is not None:
                    p.grad.nan_to_num_(0.0, 0.0, 0.0)
        elif not math.isfinite(float(norm)):
            self._skip()
            return
        state.step += 1
        self._adam.param_groups[0]["lr"] = self.rate(share)
        self._adam.step()
        # a weighted mean whose weights grow as t^gamma
        decay = (1 - 1 / state.step) ** (GAMMA + 1)
        with torch.no_grad():
            averages = [state.average[name] for name in self.parameters]
            torch._foreach_lerp_(averages, [p.detach() for p in self.parameters.values()], 1 - decay)
        self._pending.append((loss.detach(), norm))
        if self.device.type != "cuda" or len(self._pending) >= LOOK_EVERY:
            self.settle()

    def settle(self) -> None:
        """Take in the losses of the steps since the last time; waits for the device.

        Raises
        ------
        TomopriorError
            If step after step had no finite gradient.
        """
        for loss, norm in self._pending:
            if math.isfinite(float(norm)):
                self.skipped = 0
                self.state.losses.append(float(loss))
            else:
                self._skip()
        self._pending = []

    def _skip(self) -> None:
        self.skipped += 1
        if self.skipped >= MOST_SKIPPED:
            step = self.state.step + 1
            raise TomopriorError(f"step {step} has no finite gradient; a lower rate may help (--set rate=3e-4)")

    def _loss(self, made: Batch) -> torch.Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            found, size = self.denoiser(
                made.noisy, made.sigma, made.linear, made.inside, made.depth, made.coverage, made.numbers, made.told
            )
        inside = (made.depth.abs() < 1).float()
        difference = found - made.truth
        plane = difference.mean((2, 3))
        error = difference.square().mean((2, 3)) - (1 - PLANES) * plane.square()
        error = (error * inside).sum(1) / inside.sum(1)
        # in units of what the linear part leaves: of the same size at every noise level
        loss: torch.Tensor = (error / size**2).mean()
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
        self.settle()
        row = {
            "step": state.step, "minutes": round(state.seconds / 60, 2), "rate": self.rate(share),
            "loss": sum(state.losses) / max(1, len(state.losses)), "validation_psnr": math.nan, "linear_psnr": math.nan,
        }  # fmt: skip
        state.losses = []
        if self.check is not None:
            row.update(self.check.score(self.averaged()))
        state.rows.append(row)

    def averaged(self) -> Denoiser:
        """A network with the running average of the weights, ready for use on the training's device."""
        judged = new_denoiser(self.settings, self.spectrum, self.device)
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
