"""From slabs that are all there to files in their place: borders, whole files, the record, the move."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tomoprior.errors import OutputExistsError
from tomoprior.formats import Header, open_stack
from tomoprior.formats.writing import writing
from tomoprior.reconstruction import Reconstruction
from tomoprior.running.slabs.job import Job
from tomoprior.running.slabs.journal import GO_ON, Journal, write_json
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

#: What of a slab's record goes into that of the volume.
KEPT = ("rows", "residual", "seconds", "settled", "device", "host", "input")

#: What a run may write beside its record.
ARRAYS = ("volume", "std", "determined")


def assemble(job: Job, journal: Journal, more: dict[str, Any]) -> None:
    """Borders, whole files, and the record; what is interrupted here is done again by the next run."""
    plan, outputs, folder = job.plan, job.outputs, journal.folder
    done = journal.done()
    for border in plan.borders:
        outputs.blend(plan, border)
    outputs.complete()
    pilot = done[plan.pilot.number]
    provenance, history = pilot.get("provenance", {}), pilot.get("history", {})
    squares = [record["residual"] ** 2 for record in done.values() if record.get("residual") is not None]
    record = {
        "output": job.out.name,
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
    write_json(record_path(folder / job.out.name), record)
    determined = folder / "determined.npy"
    if determined.exists():
        target = companion_path(folder / job.out.name, "determined")
        values = np.load(determined, allow_pickle=False)
        with writing(target, Header(values.shape), overwrite=True) as sink:
            sink[:, :, :] = values
    made = [name for name in ARRAYS if companion_path(folder / job.out.name, name).exists()]
    journal.begin({**(journal.run or {}), "finished": made})


def publish(journal: Journal, *, overwrite: bool) -> None:
    """Move what is finished to where it was asked for, links being followed, the volume last: where it is, all is."""
    folder, out = journal.folder, journal.out
    finished = (journal.run or {}).get("finished", [])
    arrays = {companion_path(Path(out.name), array).name: array for array in ARRAYS}
    for name in (*(n for n in arrays if n != out.name), record_path(out).name, out.name):
        made, target = folder / name, out.with_name(name)
        if not made.exists():
            if overwrite and name in arrays and arrays[name] not in finished:
                remove_tree(target)  # what an earlier output had beside it does not belong to this one
            continue
        if target.exists() and not overwrite:
            raise OutputExistsError(f"{target} appeared while it was being made; what was made is in {folder}")
        with reraise_disk_errors(target, GO_ON):
            put_in_place(made, target)
    journal.remove()


def check_outputs(out: Path, *, overwrite: bool = False) -> None:
    """Raise early if one of the files that a run may write cannot be written."""
    for target in (out, record_path(out), companion_path(out, "std"), companion_path(out, "determined")):
        check_target(resolve_link(target), overwrite=overwrite)


def read_run_identity(out: Path) -> dict[str, Any]:
    """What an unfinished run, or the finished one that made ``out``, was asked for; empty if there is none."""
    unfinished = Journal(out).run
    if unfinished is not None:
        return unfinished
    record = record_path(out)
    if not (out.exists() and record.exists()):
        return {}
    try:
        run = json.loads(record.read_text()).get("run")
    except (OSError, ValueError, AttributeError):
        return {}
    return {**run, "finished": []} if isinstance(run, dict) else {}


def open_result(out: Path, series: TiltSeries) -> Reconstruction:
    """A finished output as a result whose arrays are read when they are indexed."""
    record = json.loads(record_path(out).read_text())
    std, determined = (companion_path(out, array) for array in ("std", "determined"))
    return Reconstruction(
        open_stack(out).data,
        series.geometry,
        std=open_stack(std).data if std.exists() else None,
        determined=open_stack(determined).data if determined.exists() else None,
        history=record.pop("history", {}),
        provenance=record,
    )
