"""The training: series are simulated, tiles of them denoised, and the clock turns the learning rate down."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tomoprior._version import __version__
from tomoprior.errors import InputError, Interrupted
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.methods.diffusion.scale import UNIT_STD
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.progress import Progress
from tomoprior.projector.backends import choose_device
from tomoprior.simulate.tissue import Tissue
from tomoprior.storage.files import check_target, reraise_disk_errors
from tomoprior.training import checkpoint
from tomoprior.training.draws import Simulator
from tomoprior.training.log import write_log
from tomoprior.training.optimiser import Training, initial_state, new_denoiser
from tomoprior.training.outputs import Outputs
from tomoprior.training.settings import TrainingSettings
from tomoprior.training.stopping import stoppable
from tomoprior.training.tissues import check_room, tissue_spectrum
from tomoprior.training.validation import Validation

#: Seconds between two saved states.
SAVE_EVERY = 60.0


def train(
    tissue: Tissue | Sequence[Tissue],
    out: str | Path,
    *,
    validation: Tissue | None = None,
    settings: TrainingSettings | None = None,
    start: Prior | None = None,
    card: dict[str, Any] | None = None,
    overwrite: bool = False,
    device: str | torch.device = "auto",
    snapshot: str | Path | None = None,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
    **values: Any,
) -> Prior:
    """Train a denoiser on simulated tilt series of a tissue, and write it.

    Beside ``out`` lie, while it runs and until it is done, the state (``.state.safetensors``) from which the same call goes on,
    bit for bit on the CPU with as many threads, and the log (``.csv``), which stays. Everything runs on ``device``: the
    tissue, the simulated series, their estimates and the network.

    Parameters
    ----------
    tissue
        What is trained on, or several such: each draw takes one, the more often the larger it is. Their unit must be the same.
    out
        The prior to write, ``.safetensors``.
    validation
        Other tissue, of which a score is logged; never trained on. The averaged weights of the last step are kept, whatever it
        says.
    settings, values
        As an object or one by one.
    start
        A prior whose weights are gone on from, of the same network; by default they are random.
    card
        Facts for the model card: data, licence, attribution.
    device
        ``auto`` (a GPU if there is one), ``cpu`` or ``cuda``.
    snapshot
        Where the prior as it stands is written, every time that the state is saved.
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
    TomopriorError
        If series cannot be simulated, or the weights grow beyond all bounds.
    """
    chosen = TrainingSettings.resolve(settings, values)
    tissues = (tissue,) if isinstance(tissue, Tissue) else tuple(tissue)
    outputs = Outputs(Path(out))
    outputs.check(overwrite=overwrite)
    if snapshot is not None:
        check_target(Path(snapshot), overwrite=True)
        if Path(snapshot).resolve() == outputs.prior.resolve() and not overwrite:
            raise InputError(f"{snapshot}: a snapshot in place of the prior needs overwrite=True, to be replaced by it")
    about = {"settings": chosen.model_dump(mode="json"), "tissue": _known(tissues, validation, chosen), "version": 3}
    if start is not None:
        if start.denoiser.unet.shape != chosen.shape:
            raise InputError(f"the prior to start from has another network ({start.denoiser.unet.shape}, not {chosen.shape})")
        about["start"] = _digest(start)
    try:
        json.dumps(card)
    except (TypeError, ValueError) as error:
        raise InputError(f"the card takes text, numbers, lists and dictionaries ({error})") from None
    place = choose_device(device)
    with outputs.locked():
        check_room(tissues, chosen)
        spectrum = tissue_spectrum(tissues, chosen.typical_voxel(*tissues), UNIT_STD, chosen.seed)
        denoiser = new_denoiser(chosen, spectrum, place)
        if start is not None:
            denoiser.load_state_dict(start.denoiser.state_dict())
        state = initial_state(denoiser)
        if outputs.state.exists():
            state = checkpoint.load(outputs.state, about, state)
        try:
            check = None if validation is None else Validation(validation, spectrum, chosen, place)
        except InputError as error:
            raise InputError(f"the volume for validation: {error}") from error
        run = Training(denoiser, state, chosen, spectrum, check)

        def save() -> None:
            run.settle()
            checkpoint.save(state, outputs.state, about)
            write_log(state.rows, outputs.log)
            if snapshot is not None:
                _prior(run, tissues, spectrum, card or {}, table=False).save(snapshot, overwrite=True)

        with stoppable() as stopped:
            if run.share < 1:
                simulator = Simulator(tissues, spectrum, chosen, place)
                if not _loop(run, simulator, stopped, save, progress, clock):
                    raise Interrupted(outputs.state)
            save()
            prior = _prior(run, tissues, spectrum, card or {})
            with reraise_disk_errors(outputs.prior):
                prior.save(outputs.prior, overwrite=overwrite)
            outputs.state.unlink(missing_ok=True)
    return prior


def fingerprint(tissue: Tissue) -> dict[str, Any]:
    """Enough of a volume to know it again."""
    sample = np.ascontiguousarray(tissue.grey[::7, ::7, ::7])
    return {
        "shape": [int(n) for n in tissue.grey.shape],
        "sha256": hashlib.sha256(sample.tobytes()).hexdigest(),
        "voxel_size": tissue.voxel_size,
        "grey": [tissue.least, tissue.most],
    }


def _digest(prior: Prior) -> str:
    """Of a prior's weights, to know them again."""
    found = hashlib.sha256()
    for value in prior.denoiser.state_dict().values():
        found.update(value.contiguous().numpy().tobytes())
    return found.hexdigest()


def _known(tissues: tuple[Tissue, ...], validation: Tissue | None, settings: TrainingSettings) -> Any:
    """The fingerprint of what is trained on, of several a list; raises InputError if it does not fit."""
    if not tissues:
        raise InputError("no tissue to train on")
    if len(units := {t.unit for t in (*tissues, validation) if t is not None}) > 1:
        raise InputError(f"the volumes' voxel sizes must have one unit, not {' and '.join(sorted(units))}")
    high = settings.voxel_size[1]
    for t in tissues:
        if t.voxel_size > high:
            raise InputError(
                f"a volume of voxels of {t.voxel_size:g} {t.unit} cannot show what those of {high:g} look like; set a larger "
                "voxel_size (--voxel-size LOW HIGH), or take a finer volume"
            )
    found = [fingerprint(t) for t in tissues]
    if validation is not None and fingerprint(validation) in found:
        raise InputError("the volume for validation is one of those trained on; give another, or none")
    return found[0] if len(found) == 1 else found


def _loop(
    run: Training,
    simulator: Simulator,
    stopped: threading.Event,
    save: Callable[[], None],
    progress: Progress | None,
    clock: Callable[[], float],
) -> bool:
    """Steps until the time is over; False if ``stopped`` was set before, and the state has been saved."""
    state = run.state
    started, before = clock(), state.seconds
    saved = clock()
    while (share := run.share) < 1:
        run.refill(simulator)
        run.step(share)
        state.seconds = before + clock() - started
        run.validate(run.share)
        if progress is not None:
            try:
                progress(min(100, int(100 * run.share)), 100, run.shown())
            except KeyboardInterrupt:
                stopped.set()
        ending = stopped.is_set() and run.share < 1
        if ending or clock() - saved > SAVE_EVERY:
            save()
            saved = clock()
        if ending:
            return False
    return True


def _prior(
    run: Training, tissues: tuple[Tissue, ...], spectrum: Spectrum, card: dict[str, Any], *, table: bool = True
) -> Prior:
    settings, state = run.settings, run.state
    denoiser = run.averaged()
    rows = run.check.table(denoiser) if run.check and table else []
    gains = run.check.gains(denoiser) if run.check and table else {}
    facts = {
        "trained": time.strftime("%Y-%m-%d"), "tomoprior": __version__, "torch": torch.__version__,
        "settings": settings.model_dump(mode="json"), "steps": state.step, "minutes": round(state.seconds / 60, 1),
        "tiles": state.step * settings.batch, "draws": state.drawn * settings.group, "dtype": str(run.dtype).split(".")[1],
        "device": _device_name(run.device), "threads": torch.get_num_threads(), "validation": rows,
        "gain_over_linear": {f"{level:g}": gain for level, gain in gains.items()}, **card,
    }  # fmt: skip
    low, high = settings.voxel_size
    sizes = (max(low, min(t.voxel_size for t in tissues)), high)
    unit, ranges = tissues[0].unit, settings.ranges
    return Prior(denoiser.cpu(), settings.tile_shape, spectrum, sizes, unit, ranges, card=facts)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
