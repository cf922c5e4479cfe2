"""From finished slabs to files in their final place: borders, whole files, the record, the move."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from tomoprior.errors import FormatError, OutputExistsError
from tomoprior.formats import Header, open_stack
from tomoprior.formats.writing import writing
from tomoprior.reconstruction import Reconstruction
from tomoprior.running.slabs.job import Job
from tomoprior.running.slabs.journal import ARRAYS, Journal
from tomoprior.running.slabs.records import RESUME_HINT, VolumeRecord, read_record, write_record
from tomoprior.series import TiltSeries
from tomoprior.storage.files import (
    check_target,
    companion_path,
    put_in_place,
    record_path,
    remove_tree,
    reraise_disk_errors,
    resolve_link,
)

#: Entries of a slab's record that are repeated in the volume's record.
KEPT = ("rows", "residual", "seconds", "settled", "device", "host", "input")


def assemble(job: Job, journal: Journal, more: dict[str, Any]) -> None:
    """Blend the borders, complete the files and write the record; after an interruption the next run does it again."""
    plan, outputs, folder = job.plan, job.outputs, journal.folder
    done = journal.done(plan.slabs)
    for border in plan.borders:
        outputs.blend(plan, border)
    outputs.complete()
    pilot = done[plan.pilot.number]
    provenance, history = pilot.get("provenance", {}), pilot.get("history", {})
    record = {
        "output": job.out.name,
        **provenance,
        **more,
        "residual": overall_residual(done.values()),
        "seconds": sum(record.get("seconds", 0.0) for record in done.values()),
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
    write_record(record_path(folder / job.out.name), record)
    determined = folder / "determined.npy"
    if determined.exists():
        target = companion_path(folder / job.out.name, "determined")
        values = np.asarray(open_stack(determined).data[...])
        with writing(target, Header(values.shape), overwrite=True) as sink:
            sink[:, :, :] = values
    finished = [name for name in ARRAYS if companion_path(folder / job.out.name, name).exists()]
    journal.begin({**(journal.run or {}), "finished": finished})


def overall_residual(records: Any) -> float | None:
    """Return the root mean square of the slabs' residuals; None if no slab has one."""
    residuals = [record["residual"] for record in records if record.get("residual") is not None]
    return math.hypot(*residuals) / math.sqrt(len(residuals)) if residuals else None  # no square of a large value overflows


def publish(journal: Journal, *, overwrite: bool) -> None:
    """Move the finished files to their final place, the volume last: where it is, everything is. Links are followed."""
    folder, out = journal.folder, journal.out
    finished = (journal.run or {}).get("finished") or []
    arrays = {companion_path(Path(out.name), array).name: array for array in ARRAYS}
    for name in (*(n for n in arrays if n != out.name), record_path(out).name, out.name):
        source, target = folder / name, out.with_name(name)
        if not source.exists():
            if overwrite and name in arrays and arrays[name] not in finished:
                remove_tree(target)  # it belongs to an earlier output
            continue
        if target.exists() and not overwrite:
            raise OutputExistsError(f"{target} appeared during the run; the result is in {folder}")
        with reraise_disk_errors(target, RESUME_HINT):
            put_in_place(source, target)
    journal.remove()


def check_outputs(out: Path, *, overwrite: bool = False) -> None:
    """Raise early if one of the files that a run may write cannot be written."""
    for target in (out, record_path(out), companion_path(out, "std"), companion_path(out, "determined")):
        check_target(resolve_link(target), overwrite=overwrite)


def read_run_identity(out: Path) -> dict[str, Any]:
    """Return the arguments of the unfinished run, or of the finished one that wrote ``out``; empty if there is none.

    Raises
    ------
    OutputExistsError
        If the folder of the unfinished run is not ours.
    """
    journal = Journal(out)
    journal.check_owner()
    unfinished = journal.run
    if unfinished is not None:
        return unfinished
    record = record_path(out)
    if not (out.exists() and record.exists()):
        return {}
    try:
        run = read_record(record, VolumeRecord).run
    except FormatError:
        return {}
    return {} if run is None else {**run.plain(), "finished": []}


def open_result(out: Path, series: TiltSeries) -> Reconstruction:
    """Return a finished output as a result whose arrays are read when they are indexed."""
    record = read_record(record_path(out), VolumeRecord).plain()
    std, determined = (companion_path(out, array) for array in ("std", "determined"))
    return Reconstruction(
        open_stack(out).data,
        series.geometry,
        std=open_stack(std).data if std.exists() else None,
        determined=open_stack(determined).data if determined.exists() else None,
        history=record.pop("history", {}),
        provenance=record,
    )
