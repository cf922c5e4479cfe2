"""From a tilt series of any size to a volume on the disk: plan, slabs, borders, and the move to the final place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tomoprior._version import __version__
from tomoprior.errors import InputError, Interrupted, OutputExistsError
from tomoprior.formats import Header
from tomoprior.methods.base import Method, PilotMethod, SettledMethod
from tomoprior.methods.solving.padding import settle_padding
from tomoprior.progress import Progress
from tomoprior.projector import ProjectorOptions
from tomoprior.reconstruction import Reconstruction
from tomoprior.running.arguments import resolve_seed
from tomoprior.running.estimate import warm_up
from tomoprior.running.in_memory import check_transfer_use, describe_run
from tomoprior.running.slabs import source
from tomoprior.running.slabs.budget import interpreter_bytes
from tomoprior.running.slabs.executor_selection import open_executor
from tomoprior.running.slabs.executors import Executor
from tomoprior.running.slabs.finishing import assemble, check_outputs, open_result, publish, read_run_identity
from tomoprior.running.slabs.job import Job
from tomoprior.running.slabs.journal import Journal, digest
from tomoprior.running.slabs.outputs import Outputs, check_format
from tomoprior.running.slabs.plan import ROWS, Plan, Slab, plan_slabs
from tomoprior.series import TiltSeries
from tomoprior.storage.arrays import detach, to_float32

#: Called with a line for the user.
Tell = Callable[[str], None]


def reconstruct_to_file(
    series: TiltSeries,
    method: Method,
    settings: Any,
    out: Path,
    options: ProjectorOptions,
    *,
    slab: int | Literal["auto"] = "auto",
    workers: int = 1,
    scheduler: Any = None,
    resume: bool = False,
    overwrite: bool = False,
    memory: int | None = None,
    initial: Any = None,
    mask: Any = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
    tell: Tell | None = None,
    record: dict[str, Any] | None = None,
    labels: tuple[str, ...] = (),
) -> Reconstruction:
    """Reconstruct slab by slab into a file; the other arguments are those of ``tomoprior.reconstruct``.

    Parameters
    ----------
    tell
        Called with lines for the user: the address of a dashboard, or how many slabs are finished already.
    record
        Entries for the volume's record.
    labels
        Lines for the header of formats that have labels.
    """
    check_transfer_use(series, method, slabs=True)
    tell = tell or (lambda _: None)
    settings, seed = resolve_seed(settings, seed)
    settings = settle_padding(settings, series.projections, series.geometry, series.weights)  # slabs share it
    out = out.absolute()  # workers may have another working directory
    check_format(out)
    initial, mask = _check_volumes(initial, mask, series.geometry.shape)
    journal = Journal(out)
    finished = read_run_identity(out).get("finished") is not None
    if not (resume and finished):
        check_outputs(out, overwrite=overwrite)
    with (
        journal.locked(),
        open_executor(workers, scheduler, threads) as executor,
        _without_partial_slab(),
    ):
        if not resume and not overwrite and journal.run is not None:
            raise OutputExistsError(
                f"{journal.folder} holds {len(journal.done())} slab(s) of an earlier run: --resume continues it, --overwrite "
                "begins anew"
            )
        for note in executor.notes:
            tell(note)
        earlier_run = read_run_identity(out) if resume else {}
        finished = earlier_run.get("finished") is not None
        if not resume or journal.run is None:
            journal.clear()  # without a run record, only the traces of a start that was killed
        plan = plan_run(
            series, method, settings, options, earlier_run=earlier_run, slab=slab, executor=executor, memory=memory,
            initial=initial, mask=mask,
        )  # fmt: skip
        identity = {
            "tomoprior": __version__,
            "method": method.name,
            "settings": settings.model_dump(mode="json"),
            "projector": asdict(options),
            "seed": seed,
            "plan": {"rows": plan.rows, "halo": plan.halo, "blend": plan.blend},
            **_describe_input(series, initial, mask),
        }
        if earlier_run:
            journal.check(identity, earlier_run)
        else:
            journal.begin(identity)
        if finished and journal.run is None:
            tell(f"{out} is finished already")
            return open_result(out, series)
        geometry = series.geometry
        header = Header(
            geometry.shape, np.float32, geometry.voxel_size, geometry.unit, labels=labels,
            slab=plan.rows if len(plan.slabs) > 1 else None,
        )  # fmt: skip
        arrays = {"projections": series.projections, "weights": series.weights, "initial": initial, "mask": mask}
        if executor.weight is not None:
            for name, array in arrays.items():
                if name != "weights" or np.ndim(array) == 3:  # weights of tilts are small
                    arrays[name] = source.portable(array, journal.folder, name, executor.weight)
        job = Job(
            out, Outputs(journal.folder, out.name, header), plan, geometry, method, settings, options,
            **arrays, seed=seed, threads=executor.threads,
        )  # fmt: skip
        if not finished:
            job.outputs.check_metadata()
            run = _Run(job, journal, executor, progress, tell)
            run.slabs()
            assemble(
                run.job,
                journal,
                {
                    **describe_run(series),
                    **(record or {}),
                    "settings": settings.model_dump(mode="json"),
                    "run": journal.run,
                    "initial": initial is not None,
                    "mask": mask is not None,
                },
            )
        publish(journal, overwrite=overwrite or finished)
    return open_result(out, series)


def plan_run(
    series: TiltSeries,
    method: Method,
    settings: Any,
    options: ProjectorOptions,
    *,
    earlier_run: Mapping[str, Any],
    slab: int | Literal["auto"],
    executor: Executor,
    memory: int | None,
    initial: Any = None,
    mask: Any = None,
) -> Plan:
    """Return the plan of a run.

    Parameters
    ----------
    earlier_run
        Arguments of the unfinished run to continue; empty for a new run. With ``auto`` a slab has the rows of that run.
    memory
        Bytes for all processes together with their Python interpreters; by default what the executor has.

    Raises
    ------
    InputError
        As ``plan_slabs``, and if ``initial`` or ``mask`` has another shape than the volume.
    """
    initial, mask = _check_volumes(initial, mask, series.geometry.shape)
    if earlier_run.get("plan") and slab == "auto":
        slab = int(earlier_run["plan"]["rows"])  # the free memory of today must not change the plan
    if slab == "auto":
        warm_up(options.projector(series.geometry.rows(0, min(ROWS, series.geometry.shape[1]))))
    reserved = None
    if memory is None:
        budget = executor.memory(options.device)
    else:
        reserved = executor.interpreters * interpreter_bytes(options.device)
        budget = memory - reserved
    return plan_slabs(
        series.geometry, method, settings, options, slab=slab, workers=executor.workers, budget=budget,
        row_bytes=sum(_row_bytes(array) for array in (series.weights, initial, mask)), reserved=reserved,
    )  # fmt: skip


@contextmanager
def _without_partial_slab() -> Iterator[None]:
    """On Ctrl-C, drop the partial result of the slab at work; finished slabs are kept."""
    try:
        yield
    except Interrupted:
        raise KeyboardInterrupt from None


@dataclass
class _Run:
    job: Job
    journal: Journal
    executor: Executor
    progress: Progress | None
    tell: Tell

    def slabs(self) -> None:
        """Run the slabs that have no record, the pilot first where the others need its settings."""
        plan = self.job.plan
        done = self.journal.done(plan.slabs)
        if done:
            self.tell(f"{len(done)} of {len(plan.slabs)} slab(s) are finished already")
        if _needs_pilot(self.job.method, self.job.settings) and len(plan.slabs) > 1:
            if plan.pilot.number not in done:
                self._run([plan.pilot], len(done))
                done = self.journal.done(plan.slabs)
            chosen = done[plan.pilot.number].get("settings_from_pilot") or {}
            settings = type(self.job.settings).parse({**self.job.settings.model_dump(), **chosen})
            self.job = replace(self.job, settings=settings)
        self._run([slab for slab in plan.slabs if slab.number not in done], len(done))

    def _run(self, slabs: list[Slab], n_finished: int) -> None:
        total = len(self.job.plan.slabs)
        for count, record in enumerate(self.executor.run(self.job, slabs), n_finished + 1):
            if self.progress is not None:
                shown = {"residual": record["residual"]} if record.get("residual") is not None else {}
                self.progress(count, total, shown)


def _needs_pilot(method: Method, settings: Any) -> bool:
    """Return True if a first slab has to choose settings for the others."""
    return isinstance(method, PilotMethod) and not (isinstance(method, SettledMethod) and not method.leaves_open(settings))


def _describe_input(series: TiltSeries, initial: Any, mask: Any) -> dict[str, Any]:
    """Return the geometry and hashes of the input, by which another run can be recognised."""
    return {
        "geometry": series.geometry.to_dict(),
        "input": source.fingerprint(series.projections),
        "weights": None if series.weights is None else digest(series.weights),
        "initial": source.fingerprint(initial),
        "mask": source.fingerprint(mask),
    }


def _row_bytes(array: Any) -> int:
    """Return the bytes of a row of an array in single precision, if its rows differ."""
    return 0 if array is None or array.ndim < 3 or array.shape[1] == 1 else 4 * array.shape[0] * array.shape[2]


def _to_array(volume: Any) -> Any:
    """Return an array that is read when it is indexed as it is, and anything else in memory."""
    return detach(volume) if hasattr(volume, "shape") and not np.ma.is_masked(volume) else to_float32(volume)


def _check_volumes(initial: Any, mask: Any, shape: tuple[int, int, int]) -> tuple[Any, Any]:
    """Return both as arrays; a mask of one slice becomes ``(nz, 1, nx)``. Raises InputError for other shapes."""
    nz, _, nx = shape
    initial, mask = (None if a is None else _to_array(a) for a in (initial, mask))
    if mask is not None and tuple(mask.shape) == (nz, nx):
        mask = np.asarray(mask)[:, None, :]
    for name, array, allowed in (("initial", initial, [shape]), ("mask", mask, [shape, (nz, 1, nx)])):
        if array is not None and tuple(array.shape) not in allowed:
            raise InputError(f"{name} has shape {tuple(array.shape)}, but the grid is {shape}")
    return initial, mask
