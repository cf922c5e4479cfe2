"""The training: draws come in, tiles are denoised, the clock turns the learning rate down."""

from __future__ import annotations

import csv
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tomoprior._version import __version__
from tomoprior.errors import Interrupted
from tomoprior.formats.writing import check_target, replacing
from tomoprior.methods.base import Progress
from tomoprior.methods.diffusion.denoiser import Denoiser, loss_weight
from tomoprior.methods.diffusion.prior import Prior, network_dtype
from tomoprior.methods.diffusion.scale import UNIT_STD
from tomoprior.simulate.tissue import Tissue
from tomoprior.training import checkpoint
from tomoprior.training.checkpoint import State
from tomoprior.training.draws import Source, tissue_spectrum
from tomoprior.training.settings import TrainingSettings
from tomoprior.training.tiles import Batch, batch
from tomoprior.training.validation import Validation

#: Adam's decays, and what keeps it from dividing by zero.
BETAS, EPSILON = (0.9, 0.99), 1e-8

#: Gradients are cut to this norm.
CLIP = 1.0

#: gamma of the running average of Karras et al. 2024 (EDM2), eq. 121: weights of step t count as t^gamma, about the last tenth.
GAMMA = 6.94

#: Seconds between two saved states.
SAVE_EVERY = 120.0

LOG = ("step", "minutes", "rate", "loss", "validation_psnr", "linear_psnr")


def train(
    tissue: Tissue,
    out: str | Path,
    *,
    validation: Tissue | None = None,
    settings: TrainingSettings | None = None,
    card: dict[str, Any] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
    **values: Any,
) -> Prior:
    """Train a denoiser on simulated tilt series of a tissue, and write it.

    Beside ``out`` lie, while it runs and until it is done, the state (``.state.safetensors``) from which the same call goes on,
    bit for bit on the CPU with as many threads, and the log (``.csv``), which stays.

    Parameters
    ----------
    tissue
        What is trained on.
    out
        The prior to write, ``.safetensors``.
    validation
        Other tissue, of which a score is logged; never trained on. The averaged weights of the last step are kept, whatever it
        says.
    settings, values
        As an object or one by one.
    card
        Facts for the model card: data, licence, attribution.
    progress
        Called once a step with ``loss`` and ``validation_psnr``; the count is in percent of the time.
    clock
        Seconds; for tests.

    Raises
    ------
    Interrupted
        On Ctrl-C, after the state has been saved; ``result`` is the path of the state.
    InputError, SettingsError, FormatError, OutputExistsError
        One line, before any work.
    """
    chosen = settings or TrainingSettings.parse(values)
    target = Path(out)
    check_target(target, overwrite=overwrite)
    kept = target.with_suffix(".state.safetensors")
    low, high = chosen.voxel_size
    spectrum = tissue_spectrum(tissue, max(math.sqrt(low * high), tissue.voxel_size), UNIT_STD, chosen.seed)
    about = {"settings": chosen.model_dump(mode="json"), "tissue": fingerprint(tissue), "version": 1}
    denoiser = _fresh(chosen)
    state = checkpoint.load(kept, about) if kept.exists() else _begin(denoiser)
    denoiser.load_state_dict(state.weights)
    check = Validation(validation, spectrum, chosen) if validation is not None else None
    run = _Training(denoiser, state, chosen, check)
    source = Source(tissue, spectrum, chosen, state.drawn)
    started, before = clock(), state.seconds
    saved = clock()
    try:
        with _stoppable() as stopped:
            while (share := _share(chosen, state)) < 1:
                run.refill(source)
                run.step(share)
                state.seconds = before + clock() - started
                run.validate(_share(chosen, state))
                if progress is not None:
                    progress(min(100, int(100 * _share(chosen, state))), 100, run.shown())
                if stopped.is_set() or clock() - saved > SAVE_EVERY:
                    _save(state, run, kept, target, about)
                    saved = clock()
                    if stopped.is_set():
                        raise Interrupted(kept)
    finally:
        source.close()
    denoiser.load_state_dict(state.average)
    facts = {
        "trained": time.strftime("%Y-%m-%d"), "tomoprior": __version__, "torch": torch.__version__,
        "settings": chosen.model_dump(mode="json"), "steps": state.step, "minutes": round(state.seconds / 60, 1),
        "tiles": state.step * chosen.batch, "draws": state.drawn, "dtype":
        str(network_dtype(torch.device("cpu"))).split(".")[1], "threads": torch.get_num_threads(), "validation":
        check.table(denoiser) if check else [], **(card or {}),
    }  # fmt: skip
    prior = Prior(
        denoiser.eval().requires_grad_(False),
        chosen.tile_shape,
        spectrum,
        chosen.voxel_size,
        tissue.unit,
        chosen.ranges,
        (),
        facts,
    )
    prior.save(target, overwrite=overwrite)
    write_log(state.rows, target.with_suffix(".csv"))
    kept.unlink(missing_ok=True)
    return prior


def fingerprint(tissue: Tissue) -> dict[str, Any]:
    """Enough of a volume to know it again."""
    import hashlib

    import numpy as np

    sample = np.ascontiguousarray(tissue.grey[::7, ::7, ::7])
    return {
        "shape": [int(n) for n in tissue.grey.shape],
        "sha256": hashlib.sha256(sample.tobytes()).hexdigest(),
        "voxel_size": tissue.voxel_size,
        "grey": [tissue.least, tissue.most],
    }


def write_log(rows: list[dict[str, float]], path: Path) -> None:
    """The log as CSV, whole or not at all."""
    with replacing(path, overwrite=True) as temporary, open(temporary, "w", newline="", encoding="ascii") as file:
        writer = csv.DictWriter(file, LOG)
        writer.writeheader()
        writer.writerows(rows)


class _Training:
    """Weights, optimiser, running average and draws of one training."""

    def __init__(self, denoiser: Denoiser, state: State, settings: TrainingSettings, check: Validation | None) -> None:
        self.denoiser, self.state, self.settings, self.check = denoiser.train(), state, settings, check
        self.parameters = dict(denoiser.named_parameters())
        self.dtype = network_dtype(torch.device("cpu"))
        self.losses: list[float] = []
        tile = math.prod(settings.tile_shape)
        draw = settings.height * math.prod(settings.field)
        #: Steps from one draw to the next.
        self.every = max(1, round(settings.reuse * draw / (tile * settings.batch)))

    def refill(self, source: Iterator[Any]) -> None:
        """Take in the draws that are due: at first two, then one every so many steps until there are ``keep``, then in turn."""
        state = self.state
        due = 2 + state.step // self.every
        while state.drawn < due:
            state.draws = [*state.draws, next(source)][-self.settings.keep :]
            state.drawn += 1

    def step(self, share: float) -> None:
        """One step of Adam at the rate that goes with this share of the time."""
        state, settings = self.state, self.settings
        made = batch(state.draws, settings, state.step)
        loss = self._loss(made)
        for p in self.parameters.values():
            p.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), CLIP)
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
        self.losses.append(float(loss.detach()))

    def _loss(self, made: Batch) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            found = self.denoiser(made.noisy, made.sigma, made.linear, made.depth, made.coverage, made.numbers, made.told)
        error = (found - made.truth).square().mean((1, 2, 3))
        loss: torch.Tensor = (loss_weight(made.sigma) * error).mean()
        return loss

    def rate(self, share: float) -> float:
        """Learning rate at a share of the time: a rise over the first steps, then half a cosine."""
        s = self.settings
        top = s.rate_end + (s.rate - s.rate_end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
        return top * min(1.0, self.state.step / max(1, s.warm_up))

    def validate(self, share: float) -> None:
        """A row of the log, and the score that goes with it, when it is due."""
        s, rows = self.settings, self.state.rows
        every = 1 / 20 if s.steps is not None else s.validate_every / s.minutes
        if share < min((len(rows) + 1) * every, 1.0):
            return
        row = {
            "step": self.state.step, "minutes": round(self.state.seconds / 60, 2), "rate": self.rate(share),
            "loss": sum(self.losses) / max(1, len(self.losses)), "validation_psnr": math.nan, "linear_psnr": math.nan,
        }  # fmt: skip
        self.losses = []
        if self.check is not None:
            judged = _fresh(s)
            judged.load_state_dict(self.state.average)
            row["validation_psnr"], row["linear_psnr"] = self.check.score(judged.eval())
        rows.append(row)

    def shown(self) -> dict[str, float]:
        """What a progress bar says."""
        recent = self.losses[-50:]
        last = self.state.rows[-1] if self.state.rows else {}
        values = {"loss": sum(recent) / len(recent)} if recent else {}
        if not math.isnan(last.get("validation_psnr", math.nan)):
            values["validation_psnr"] = last["validation_psnr"]
        return values


def _fresh(settings: TrainingSettings) -> Denoiser:
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        # channels last: convolutions of this kind are 1.5 times faster on the CPU
        made = Denoiser(settings.shape)
        return made.to(memory_format=torch.channels_last_3d)  # type: ignore[no-any-return, call-overload]


def _begin(denoiser: Denoiser) -> State:
    weights = dict(denoiser.state_dict())
    zeros = {f"{k}.{m}": torch.zeros_like(v) for k, v in weights.items() for m in "mv"}
    return State(weights, {k: v.clone() for k, v in weights.items()}, zeros)


def _share(settings: TrainingSettings, state: State) -> float:
    return state.step / settings.steps if settings.steps is not None else state.seconds / (60 * settings.minutes)


def _save(state: State, run: _Training, kept: Path, target: Path, about: dict[str, Any]) -> None:
    state.weights = {k: v.detach().clone() for k, v in run.denoiser.state_dict().items()}
    checkpoint.save(state, kept, about)
    write_log(state.rows, target.with_suffix(".csv"))


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """An event that Ctrl-C and a terminating signal set, so that a step is never cut in two."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only there can signals be caught
        yield stopped
        return
    before = {s: signal.signal(s, lambda *_: stopped.set()) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
