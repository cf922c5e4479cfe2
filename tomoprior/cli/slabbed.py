"""``tomoprior recon`` slab by slab: the plan in words, progress with and without a terminal, and what an interrupt leaves."""

from __future__ import annotations

import re
import shlex
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import typer

from tomoprior import memory
from tomoprior._version import __version__
from tomoprior.cli import lines
from tomoprior.cli.errors import InterruptedWithOutput
from tomoprior.errors import InputError, SettingsError
from tomoprior.geometry import Geometry
from tomoprior.methods.base import Method
from tomoprior.progress import Progress
from tomoprior.projector import Projector
from tomoprior.running.estimate import needed
from tomoprior.running.slabs import plan as plans
from tomoprior.running.slabs.finishing import read_run_identity
from tomoprior.running.slabs.journal import Journal
from tomoprior.running.slabs.run import plan_run, reconstruct_to_file
from tomoprior.series import TiltSeries

_SIZE = re.compile(r"([0-9.]+) *([KMGT]?)(i?)B?", re.IGNORECASE)


@dataclass(frozen=True)
class SlabOptions:
    """What the user says of slabs.

    Attributes
    ----------
    asked
        True if the volume is to be made slab by slab.
    memory
        Bytes, or None.
    """

    asked: bool
    slab: int | Literal["auto"]
    workers: int
    scheduler: str | None
    memory: int | None
    resume: bool

    @classmethod
    def of(cls, slab: str | None, workers: int, scheduler: str | None, memory: str | None, *, resume: bool) -> SlabOptions:
        """From the options; raises InputError or SettingsError."""
        asked = slab is not None or workers > 1 or scheduler is not None or resume or memory is not None
        if slab not in (None, "auto") and not (str(slab).isdecimal() and int(str(slab)) > 0):
            raise InputError(f"--slab takes auto or a number of rows, got {slab!r}")
        if scheduler is not None and workers > 1:
            raise SettingsError("--workers starts processes here, --scheduler uses those of a cluster: give one of them")
        rows: int | Literal["auto"] = "auto" if slab in (None, "auto") else int(str(slab))
        return cls(asked, rows, workers, scheduler, None if memory is None else size(memory), resume)

    def decided(
        self, geometry: Geometry, method: Method, settings: Any, device: str, kind: Any, backend: str, notes: list[str]
    ) -> SlabOptions:
        """With ``asked`` set where the whole does not fit in memory, and the user told."""
        if self.asked:
            return self
        whole = needed(method, Projector(geometry, device, kind, backend), settings).memory
        free = memory.available()
        if whole <= free or (method.couples_slices and not hasattr(method, "halo")):
            return self
        notes.append(f"the whole needs {memory.format_bytes(whole)} and {memory.format_bytes(free)} are free: slab by slab")
        return replace(self, asked=True)


def size(text: str) -> int:
    """``8GiB``, ``8G`` or ``500MB`` in bytes; raises InputError."""
    found = _SIZE.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        value, prefix, binary = found.groups()
        base = 1000 if prefix and not binary and text.strip().upper().endswith("B") else 1024
        return int(float(value) * base ** " KMGT".index(prefix.upper() or " "))
    except ValueError:
        raise InputError(f"--memory takes a size such as 8GiB, got {text!r}") from None


def run(
    series: TiltSeries, method: Method, settings: Any, out: Path, cut: SlabOptions, notes: list[str], *, field: Path | None,
    dry_run: bool, overwrite: bool, **given: Any,
) -> None:  # fmt: skip
    """Say what it takes, then do it; raises KeptSystemExit on Ctrl-C."""
    if field is not None:
        raise SettingsError("--field: slabs have fields of their own, and no common one; leave --field or --slab out")
    device, kind, backend = (given[name] for name in ("device", "kind", "backend"))
    at_work = plan_run(
        series, method, settings, before=read_run_identity(out) if cut.resume else {}, slab=cut.slab, workers=cut.workers,
        memory=cut.memory, **{name: given[name] for name in ("device", "kind", "backend", "initial", "mask")},
    )  # fmt: skip
    projector = plans.make_projector(at_work, series.geometry, device, kind, backend)
    cost = plans.estimate_cost(at_work, series.geometry, method, settings, projector)
    for line in _described(at_work, cost):
        typer.echo(line)
    typer.echo(f"time         about {lines.duration(cost.seconds)}" + (" on one such machine" if cut.scheduler else ""))
    lines.notes(notes)
    if dry_run:
        typer.echo("dry run: nothing was written")
        return
    # what is done here is what was described; a cluster's workers may have more room, or less
    rows = at_work.rows if cut.scheduler is None else cut.slab
    started = time.perf_counter()
    try:
        with _Shown(method.name, len(at_work.slabs)) as shown:
            result = reconstruct_to_file(
                series, method, settings, out, slab=rows, workers=cut.workers, scheduler=cut.scheduler, resume=cut.resume,
                overwrite=overwrite, memory=cut.memory, progress=shown, tell=shown.say,
                record={"command": shlex.join(sys.argv), "notes": notes},
                labels=(f"tomoprior {__version__} {method.name}: {series.geometry.n_angles} tilts",), **given,
            )  # fmt: skip
    except KeyboardInterrupt:
        done = len(Journal(out).done())
        typer.echo(f"interrupted  {done} of {len(at_work.slabs)} slab(s) are kept; the same with --resume goes on", err=True)
        raise InterruptedWithOutput from None
    lines.outcome(result, out, time.perf_counter() - started)


def _described(at_work: plans.Plan, cost: plans.Cost) -> list[str]:
    """A plan in lines for the user."""
    halo = f", each seeing {at_work.halo} more on either side" if at_work.halo else ""
    side = f", {at_work.workers} at a time" if at_work.workers > 1 else ""
    return [
        f"slabs        {len(at_work.slabs)} of {at_work.rows} rows{halo}{side}",
        f"memory       about {memory.format_bytes(cost.memory)} for each worker",
        f"disk         about {memory.format_bytes(cost.disk)} at the most, less what compresses",
    ]


class _Shown(Progress):
    """A bar over slabs on a terminal, a line for each elsewhere, on standard error."""

    def __init__(self, title: str, total: int) -> None:
        from tqdm import tqdm

        self.bar = tqdm(desc=title, total=total, disable=None, unit="slab", dynamic_ncols=True)
        self._started, self._first = time.perf_counter(), 0

    def __enter__(self) -> _Shown:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def say(self, line: str) -> None:
        """A line that does not spoil the bar."""
        self.bar.write(line) if not self.bar.disable else print(line, flush=True)

    def __call__(self, done: int, total: int, values: dict[str, float], /) -> None:
        if self.bar.disable:
            # the first report says how many were there before
            self._first = self._first or done - 1 or -1
            fresh = done - max(self._first, 0)
            left = (time.perf_counter() - self._started) / max(fresh, 1) * (total - done)
            shown = "".join(f", {name} {value:.4g}" for name, value in values.items())
            clock = time.strftime("%Y-%m-%d %H:%M:%S")
            print(f"{clock} slab {done} of {total}{shown}, about {lines.duration(left)} left", file=sys.stderr, flush=True)
            return
        self.bar.set_postfix({k: f"{v:.4g}" for k, v in values.items()}, refresh=False)
        if self.bar.n == 0 and done > 1:
            self.bar.initial = self.bar.n = done - 1
        self.bar.update(done - self.bar.n)
