"""The training: series are simulated, their tiles denoised, and the clock lowers the learning rate."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

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
from tomoprior.training import calibration as calibrating
from tomoprior.training import checkpoint
from tomoprior.training.fingerprints import check_tissues, fingerprint, weights_digest
from tomoprior.training.log import write_log
from tomoprior.training.optimiser import Training, initial_state, new_denoiser
from tomoprior.training.outputs import Outputs
from tomoprior.training.settings import TrainingSettings
from tomoprior.training.simulator import Simulator
from tomoprior.training.stopping import stoppable
from tomoprior.training.tissues import check_size, tissue_spectrum
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
    calibration: bool = False,
    card: dict[str, Any] | None = None,
    overwrite: bool = False,
    device: str | torch.device = "auto",
    snapshot: str | Path | None = None,
    progress: Progress | None = None,
    report: Callable[[str], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
    **values: Any,
) -> Prior:
    """Train a denoiser on simulated tilt series of a tissue, and write it as a prior.

    Until the training ends, its state (``.state.safetensors``) is in the folder of ``out``. The same call continues from it,
    bit for bit on the CPU with the same number of threads. The log (``.csv``) is there too, and remains. Everything but the
    calibration runs on ``device``: the tissue, the simulated series, their estimates and the network.

    Parameters
    ----------
    tissue
        One or several volumes to train on. Each draw chooses a volume with probability proportional to its size. All must have
        the same unit.
    out
        The prior to write, ``.safetensors``.
    validation
        Other tissue, for a score in the log; never trained on. The score does not choose the weights: those of the result are
        the averaged weights of the last step.
    settings, values
        Settings as an object or one by one.
    start
        A prior with the same network, whose weights are the first ones; by default they are random.
    calibration
        With ``validation``: calibrate the prior on it after the last step, see ``calibrate``. This takes time beyond
        ``minutes``.
    card
        Facts for the model card: data, licence, attribution.
    device
        ``auto`` (a GPU if there is one), ``cpu`` or ``cuda``.
    snapshot
        File for the current prior, written every time that the state is saved.
    progress
        Called once a step with ``loss`` and ``validation_psnr``; the count is in percent of the time.
    report
        Called with a description of each measurement of the calibration.
    clock
        Seconds; for tests.

    Returns
    -------
    The prior as written, on the CPU.

    Raises
    ------
    Interrupted
        On Ctrl-C, also during the calibration, after the state is saved; ``result`` is the path of the state.
    InputError, SettingsError, FormatError, OutputExistsError
        One line, before any work.
    TomopriorError
        If series cannot be simulated, or step after step has no finite gradient.
    """
    settings = TrainingSettings.resolve(settings, values)
    tissues = (tissue,) if isinstance(tissue, Tissue) else tuple(tissue)
    outputs = Outputs(Path(out))
    outputs.check(overwrite=overwrite)
    if snapshot is not None:
        check_target(Path(snapshot), overwrite=True)
        if Path(snapshot).resolve() == outputs.prior.resolve() and not overwrite:
            raise InputError(f"{snapshot}: a snapshot at the path of the prior needs overwrite=True, to be replaced by it")
    about = {"settings": settings.model_dump(mode="json"), "tissue": check_tissues(tissues, validation, settings), "version": 3}
    if start is not None:
        if start.denoiser.unet.shape != settings.shape:
            raise InputError(f"the prior to start from has another network ({start.denoiser.unet.shape}, not {settings.shape})")
        about["start"] = weights_digest(start)
    try:
        json.dumps(card)
    except (TypeError, ValueError) as error:
        raise InputError(f"the card takes text, numbers, lists and dictionaries ({error})") from None
    place = choose_device(device)
    with outputs.locked():
        check_size(tissues, settings)
        spectrum = tissue_spectrum(tissues, settings.typical_voxel(*tissues), UNIT_STD, settings.seed)
        denoiser = new_denoiser(settings, spectrum, place)
        if start is not None:
            denoiser.load_state_dict(start.denoiser.state_dict())
        state = initial_state(denoiser)
        if outputs.state.exists():
            state = checkpoint.load(outputs.state, about, state, settings)
        try:
            check = None if validation is None else Validation(validation, spectrum, settings, place)
        except InputError as error:
            raise InputError(f"the volume for validation: {error}") from error
        run = Training(denoiser, state, settings, spectrum, check)

        def save() -> None:
            run.settle()
            checkpoint.save(state, outputs.state, about)
            write_log(state.rows, outputs.log)
            if snapshot is not None:
                _prior(run, tissues, spectrum, card or {}, table=False).save(snapshot, overwrite=True)

        with stoppable() as stopped:
            if run.share < 1:
                simulator = Simulator(tissues, spectrum, settings, place)
                if not _loop(run, simulator, stopped, save, progress, clock):
                    raise Interrupted(outputs.state)
            save()
            prior = _prior(run, tissues, spectrum, card or {})
            if calibration and validation is not None:
                if not _calibrate(prior, validation, run, stopped, save, report):
                    raise Interrupted(outputs.state)
                prior = calibrating.apply_measurements(prior, state.calibration.rows)
            with reraise_disk_errors(outputs.prior):
                prior.save(outputs.prior, overwrite=overwrite)
            outputs.state.unlink(missing_ok=True)
    return prior


def _loop(
    run: Training,
    simulator: Simulator,
    stopped: threading.Event,
    save: Callable[[], None],
    progress: Progress | None,
    clock: Callable[[], float],
) -> bool:
    """Take steps until the time is over; return False if ``stopped`` was set earlier, after the state is saved."""
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
        interrupted = stopped.is_set() and run.share < 1
        if interrupted or clock() - saved > SAVE_EVERY:
            save()
            saved = clock()
        if interrupted:
            return False
    return True


def _calibrate(
    prior: Prior,
    tissue: Tissue,
    run: Training,
    stopped: threading.Event,
    save: Callable[[], None],
    report: Callable[[str], None] | None,
) -> bool:
    """Complete the measurements of the state; return False if ``stopped`` was set earlier. Each measurement is saved."""
    state, digest = run.state, fingerprint(tissue)["sha256"]
    finished = state.calibration.rows if state.calibration.tissue == digest else []
    state.calibration = calibrating.CalibrationState(tissue=digest, rows=finished)
    remaining = islice(calibrating.measure(prior, tissue, run.settings, finished, report), len(finished), None)
    try:
        for row in remaining:
            state.calibration = calibrating.CalibrationState(tissue=digest, rows=[*state.calibration.rows, row])
            save()
            if stopped.is_set():
                return False
    except KeyboardInterrupt:  # from the callback: signals set the event
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
        "tiles": state.step * settings.batch_size, "draws": state.drawn * settings.group, "dtype": str(run.dtype).split(".")[1],
        "device": _device_name(run.device), "threads": torch.get_num_threads(), "validation": rows,
        "gain_over_linear": {f"{level:g}": gain for level, gain in gains.items()}, **card,
    }  # fmt: skip
    low, high = settings.voxel_size
    sizes = (max(low, min(t.voxel_size for t in tissues)), high)
    unit, ranges = tissues[0].unit, settings.ranges
    return Prior(denoiser.cpu(), settings.tile_shape, spectrum, sizes, unit, ranges, card=facts)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
