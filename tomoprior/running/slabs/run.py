"""From a tilt series of any size to a volume on the disk: plan, slabs, borders, and the move into place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tomoprior._version import __version__
from tomoprior.errors import InputError, Interrupted, OutputExistsError
from tomoprior.formats import Header
from tomoprior.methods.base import Method
from tomoprior.progress import Progress
from tomoprior.projector.backends import Kind
from tomoprior.reconstruction import Reconstruction
from tomoprior.running.in_memory import describe_run
from tomoprior.running.slabs import executors, plan, source
from tomoprior.running.slabs.executors import Executor
from tomoprior.running.slabs.finishing import assemble, check_outputs, open_result, publish, read_run_identity
from tomoprior.running.slabs.job import Job
from tomoprior.running.slabs.journal import Journal, digest
from tomoprior.running.slabs.outputs import Outputs, check_format
from tomoprior.running.slabs.plan import Plan, Slab
from tomoprior.series import TiltSeries

#: Called with a line for the user.
Tell = Callable[[str], None]


def reconstruct_to_file(
    series: TiltSeries,
    method: Method,
    settings: Any,
    out: Path,
    *,
    slab: int | Literal["auto"] = "auto",
    workers: int = 1,
    scheduler: Any = None,
    resume: bool = False,
    overwrite: bool = False,
    memory: int | None = None,
    device: str = "auto",
    kind: Kind = "linear",
    backend: str = "auto",
    initial: Any = None,
    mask: Any = None,
    seed: int = 0,
    progress: Progress | None = None,
    tell: Tell | None = None,
    record: dict[str, Any] | None = None,
    labels: tuple[str, ...] = (),
) -> Reconstruction:
    """See ``tomoprior.reconstruct`` with ``out``.

    Parameters
    ----------
    tell
        Called with lines for the user: the address of a dashboard, what is resumed.
    record
        Added to the volume's record.
    labels
        Lines for the header of a format that has such.
    """
    tell = tell or (lambda _: None)
    out = out.absolute()  # workers may have another working directory
    check_format(out)
    initial, mask = _fitting(initial, mask, series.geometry.shape)
    journal = Journal(out)
    before = read_run_identity(out)
    finished = before.get("finished") is not None
    if not (resume and finished):
        check_outputs(out, overwrite=overwrite)
    if not resume and not overwrite and journal.run is not None:
        raise OutputExistsError(
            f"{journal.folder} holds {len(journal.done())} slab(s) of an earlier run: --resume goes on with it, --overwrite "
            "begins anew"
        )
    with journal.locked(), executors.open_executor(workers, scheduler) as executor, _plainly_interrupted():
        for note in executor.notes:
            tell(note)
        if not resume:
            journal.clear()
            before, finished = {}, False
        at_work = plan_run(
            series, method, settings, before=before, slab=slab, workers=executor.workers,
            memory=executor.memory(device) if memory is None else memory, device=device, kind=kind, backend=backend,
            initial=initial, mask=mask,
        )  # fmt: skip
        identity = {
            "tomoprior": __version__,
            "method": method.name,
            "settings": settings.model_dump(mode="json"),
            "projector": {"device": device, "kind": kind, "backend": backend},
            "seed": seed,
            "plan": {"rows": at_work.rows, "halo": at_work.halo, "blend": at_work.blend},
            **_given(series, initial, mask),
        }
        if before:
            journal.check(identity, before)
        else:
            journal.begin(identity)
        if finished and journal.run is None:
            tell(f"{out} is finished already")
            return open_result(out, series)
        geometry = series.geometry
        header = Header(
            geometry.shape, np.float32, geometry.voxel_size, geometry.unit, labels=labels,
            slab=at_work.rows if len(at_work.slabs) > 1 else None,
        )  # fmt: skip
        arrays = {"projections": series.projections, "weights": series.weights, "initial": initial, "mask": mask}
        if executor.weight is not None:
            for name, array in arrays.items():
                if name != "weights" or np.ndim(array) == 3:  # those of tilts are few
                    arrays[name] = source.portable(array, journal.folder, name, executor.weight)
        job = Job(
            out, Outputs(journal.folder, out.name, header), at_work, geometry, method, settings,
            **arrays, device=device, kind=kind, backend=backend, seed=seed,
        )  # fmt: skip
        run = _Run(job, journal, executor, progress, tell)
        if not finished:
            run.slabs()
            assemble(
                run.job,
                journal,
                {
                    **describe_run(series),
                    **(record or {}),
                    "settings": settings.model_dump(mode="json"),
                    "run": identity,
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
    *,
    before: Mapping[str, Any],
    slab: int | Literal["auto"],
    workers: int,
    memory: int | None,
    device: str,
    kind: Kind,
    backend: str,
    initial: Any = None,
    mask: Any = None,
) -> Plan:
    """The plan of a run.

    Parameters
    ----------
    before
        What was begun, if that is gone on with: ``auto`` is its number of rows then.
    memory
        Bytes for all workers together; by default what is free here.

    Raises
    ------
    InputError
        As ``plan.make``, and if ``initial`` or ``mask`` has another shape than the volume.
    """
    initial, mask = _fitting(initial, mask, series.geometry.shape)
    if before and slab == "auto":
        slab = int(before["plan"]["rows"])  # what is free now must not change what was begun
    return plan.plan_slabs(
        series.geometry, method, settings, slab=slab, workers=workers, budget=memory,
        given=sum(_row(array) for array in (series.weights, initial, mask)), device=device, kind=kind, backend=backend,
    )  # fmt: skip


@contextmanager
def _plainly_interrupted() -> Iterator[None]:
    """What a method keeps on Ctrl-C is a slab that is not finished: the slabs before are what counts."""
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
        """Do what has no record yet, the pilot first where others take something over from it."""
        plan = self.job.plan
        done = self.journal.done()
        if done:
            self.tell(f"{len(done)} of {len(plan.slabs)} slab(s) are done; going on with the others")
        if hasattr(self.job.method, "settings_from_pilot") and len(plan.slabs) > 1:
            if plan.pilot.number not in done:
                self._run([plan.pilot], len(done))
                done = self.journal.done()
            taken = done[plan.pilot.number].get("settings_from_pilot") or {}
            settings = type(self.job.settings).model_validate({**self.job.settings.model_dump(), **taken})
            self.job = replace(self.job, settings=settings)
        self._run([slab for slab in plan.slabs if slab.number not in done], len(done))

    def _run(self, slabs: list[Slab], before: int) -> None:
        total = len(self.job.plan.slabs)
        for count, record in enumerate(self.executor.run(self.job, slabs), before + 1):
            if self.progress is not None:
                shown = {"residual": record["residual"]} if record.get("residual") is not None else {}
                self.progress(count, total, shown)


def _given(series: TiltSeries, initial: Any, mask: Any) -> dict[str, Any]:
    """What a run was given, so that another can be told from it."""
    return {
        "geometry": series.geometry.to_dict(),
        "input": source.fingerprint(series.projections),
        "weights": None if series.weights is None else digest(series.weights),
        "initial": source.fingerprint(initial),
        "mask": source.fingerprint(mask),
    }


def _row(array: Any) -> int:
    """Bytes of a row of an array in single precision, if every row has its own."""
    return 0 if array is None or array.ndim < 3 or array.shape[1] == 1 else 4 * array.shape[0] * array.shape[2]


def _fitting(initial: Any, mask: Any, shape: tuple[int, int, int]) -> tuple[Any, Any]:
    """Both with shapes that fit; a mask of one slice as ``(nz, 1, nx)``."""
    nz, _, nx = shape
    initial, mask = (None if a is None else a if hasattr(a, "shape") else np.asarray(a) for a in (initial, mask))
    if mask is not None and tuple(mask.shape) == (nz, nx):
        mask = np.asarray(mask)[:, None, :]
    for name, array, allowed in (("initial", initial, [shape]), ("mask", mask, [shape, (nz, 1, nx)])):
        if array is not None and tuple(array.shape) not in allowed:
            raise InputError(f"{name} has shape {tuple(array.shape)}, but the grid is {shape}")
    return initial, mask
