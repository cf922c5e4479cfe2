"""From a tilt series of any size to a volume on the disk: plan, slabs, borders, and the move into place."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tomoprior import memory as memory_
from tomoprior._version import __version__
from tomoprior.backends import Kind
from tomoprior.errors import InputError, Interrupted, OutputExistsError
from tomoprior.formats import Header, open_stack
from tomoprior.formats.writing import check_target, remove, writing
from tomoprior.methods.base import Method, Progress
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction
from tomoprior.series import TiltSeries
from tomoprior.slabs import executors, plan, source
from tomoprior.slabs.executors import Executor
from tomoprior.slabs.job import Job
from tomoprior.slabs.journal import Journal, digest, write_json
from tomoprior.slabs.outputs import Outputs, beside, check_format
from tomoprior.slabs.plan import Plan, Slab
from tomoprior.whole import about

#: What of a slab's record goes into that of the volume.
KEPT = ("rows", "residual", "seconds", "settled", "device", "host", "input")

#: What a run may write beside its record.
ARRAYS = ("volume", "std", "determined")

#: Called with a line for the user.
Tell = Callable[[str], None]


def reconstruct_to(
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
    before = begun(out)
    finished = before.get("finished") is not None
    if not (resume and finished):
        check_outputs(out, overwrite=overwrite)
    if not resume and not overwrite and journal.run is not None:
        raise OutputExistsError(
            f"{journal.folder} holds {len(journal.done())} slab(s) of an earlier run: --resume goes on with it, --overwrite "
            "begins anew"
        )
    with journal.locked(), executors.opened(workers, scheduler) as executor, _plainly_interrupted():
        for note in executor.notes:
            tell(note)
        if not resume:
            journal.clear()
            before, finished = {}, False
        if before and slab == "auto":
            slab = int(before["plan"]["rows"])  # what is free now must not change what was begun
        at_work = plan.make(
            series.geometry, method, settings, slab=slab, workers=executor.workers,
            budget=executor.memory(device) if memory is None else memory,
            given=sum(_row(array) for array in (series.weights, initial, mask)), device=device, kind=kind, backend=backend,
        )  # fmt: skip
        identity = {
            "tomoprior": __version__,
            "method": method.name,
            "settings": settings.model_dump(mode="json"),
            "projector": {"device": device, "kind": kind, "backend": backend},
            "seed": seed,
            "geometry": series.geometry.to_dict(),
            "plan": {"rows": at_work.rows, "halo": at_work.halo, "blend": at_work.blend},
            "input": source.fingerprint(series.projections),
            "weights": None if series.weights is None else digest(series.weights),
            "initial": source.fingerprint(initial),
            "mask": source.fingerprint(mask),
        }
        if before:
            journal.check(identity, before)
        else:
            journal.begin(identity)
        if finished and journal.run is None:
            tell(f"{out} is finished already")
            return opened(out, series)
        geometry = series.geometry
        header = Header(
            geometry.shape, np.float32, geometry.voxel_size, geometry.unit, labels=labels,
            slab=at_work.rows if len(at_work.slabs) > 1 else None,
        )  # fmt: skip
        arrays = {"projections": series.projections, "weights": series.weights, "initial": initial, "mask": mask}
        if executor.remote:
            arrays = {
                name: array if name == "weights" and np.ndim(array) < 3 else source.portable(array, journal.folder, name)
                for name, array in arrays.items()
            }
        job = Job(
            out, Outputs(journal.folder, out.name, header), at_work, geometry, method, settings,
            **arrays, device=device, kind=kind, backend=backend, seed=seed,
        )  # fmt: skip
        run = _Run(job, journal, executor, progress, tell)
        if not finished:
            run.slabs()
            run.finish(
                {
                    **about(series),
                    **(record or {}),
                    "settings": settings.model_dump(mode="json"),
                    "run": identity,
                    "initial": initial is not None,
                    "mask": mask is not None,
                }
            )
        run.into_place(overwrite=overwrite or finished)
    return opened(out, series)


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
        if hasattr(self.job.method, "carried") and len(plan.slabs) > 1:
            if plan.pilot.number not in done:
                self._run([plan.pilot], len(done))
                done = self.journal.done()
            taken = done[plan.pilot.number].get("carried") or {}
            settings = type(self.job.settings).model_validate({**self.job.settings.model_dump(), **taken})
            self.job = replace(self.job, settings=settings)
        self._run([slab for slab in plan.slabs if slab.number not in done], len(done))

    def _run(self, slabs: list[Slab], before: int) -> None:
        total = len(self.job.plan.slabs)
        for count, record in enumerate(self.executor.run(self.job, slabs), before + 1):
            if self.progress is not None:
                shown = {"residual": record["residual"]} if record.get("residual") is not None else {}
                self.progress(count, total, shown)

    def finish(self, more: dict[str, Any]) -> None:
        """Borders, whole files, and the record; what is interrupted here is done again by the next run."""
        plan, outputs, folder = self.job.plan, self.job.outputs, self.journal.folder
        done = self.journal.done()
        for border in plan.borders:
            outputs.blend(plan, border)
        outputs.complete()
        pilot = done[plan.pilot.number]
        provenance, history = pilot.get("provenance", {}), pilot.get("history", {})
        squares = [record["residual"] ** 2 for record in done.values() if record.get("residual") is not None]
        record = {
            "output": self.job.out.name,
            **provenance,
            **more,
            "residual": float(np.sqrt(np.mean(squares))) if squares else None,
            "seconds": sum(record["seconds"] for record in done.values()),
            "slabs": {
                "rows": plan.rows,
                "halo": plan.halo,
                "blend": plan.blend,
                "pilot": plan.pilot.number,
                "of_the_pilot": sorted(set(provenance) - set(more)),
                "each": [{k: done[n][k] for k in KEPT if done[n].get(k) is not None} for n in sorted(done)],
            },
            "history": history,
        }
        write_json(folder / f"{self.job.out.name}.json", record)
        determined = folder / "determined.npy"
        if determined.exists():
            target = beside(folder / self.job.out.name, "determined")
            values = np.load(determined, allow_pickle=False)
            with writing(target, Header(values.shape), overwrite=True) as sink:
                sink[:, :, :] = values
        made = [name for name in ARRAYS if beside(folder / self.job.out.name, name).exists()]
        self.journal.begin({**(self.journal.run or {}), "finished": made})

    def into_place(self, *, overwrite: bool) -> None:
        """Move what is finished to where it was asked for, the volume last: where it is, all is."""
        folder, out = self.journal.folder, self.job.out
        finished = (self.journal.run or {}).get("finished", [])
        arrays = {beside(Path(out.name), array).name: array for array in ARRAYS}
        for name in (*(n for n in arrays if n != out.name), f"{out.name}.json", out.name):
            made, target = folder / name, out.with_name(name)
            if not made.exists():
                if overwrite and name in arrays and arrays[name] not in finished:
                    remove(target)  # what an earlier output had beside it does not belong to this one
                continue
            if target.exists() and not overwrite:
                raise OutputExistsError(f"{target} appeared while it was being made; what was made is in {folder}")
            if target.is_dir() and not target.is_symlink():
                aside = folder / f"old-{name}"
                os.replace(target, aside)
                os.replace(made, target)
                shutil.rmtree(aside, ignore_errors=True)
            else:
                os.replace(made, target)
        self.journal.remove()


def check_outputs(out: Path, *, overwrite: bool = False) -> None:
    """Raise early if one of the files that a run may write cannot be written."""
    for target in (out, out.with_name(out.name + ".json"), beside(out, "std"), beside(out, "determined")):
        check_target(target, overwrite=overwrite)


def begun(out: Path) -> dict[str, Any]:
    """What an unfinished run, or the finished one that made ``out``, was asked for; empty if there is none."""
    unfinished = Journal(out).run
    if unfinished is not None:
        return unfinished
    record = out.with_name(out.name + ".json")
    if not (out.exists() and record.exists()):
        return {}
    try:
        run = json.loads(record.read_text()).get("run")
    except (OSError, ValueError, AttributeError):
        return {}
    return {**run, "finished": []} if isinstance(run, dict) else {}


def opened(out: Path, series: TiltSeries) -> Reconstruction:
    """A finished output as a result whose arrays are read when they are indexed."""
    record = json.loads(out.with_name(out.name + ".json").read_text())
    std, determined = (beside(out, array) for array in ("std", "determined"))
    return Reconstruction(
        open_stack(out).data,
        series.geometry,
        std=open_stack(std).data if std.exists() else None,
        determined=open_stack(determined).data if determined.exists() else None,
        history=record.pop("history", {}),
        provenance=record,
    )


def describe(at_work: Plan, cost: plan.Cost) -> list[str]:
    """A plan in lines for the user."""
    halo = f", each seeing {at_work.halo} more on either side" if at_work.halo else ""
    side = f", {at_work.workers} at a time" if at_work.workers > 1 else ""
    return [
        f"slabs        {len(at_work.slabs)} of {at_work.rows} rows{halo}{side}",
        f"memory       about {memory_.text(cost.memory)} for each worker",
        f"disk         about {memory_.text(cost.disk)} at the most, less what compresses",
    ]


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


def projector_of(at_work: Plan, series: TiltSeries, device: str, kind: Kind, backend: str) -> Projector:
    """That of the tallest slab, for what a run takes."""
    tallest = at_work.tallest()
    return Projector(series.geometry.rows(tallest.first, tallest.last), device, kind, backend)
