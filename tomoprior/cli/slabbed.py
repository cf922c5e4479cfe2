"""``tomoprior recon`` slab by slab: options, the printed plan, progress with and without a terminal, and interruption."""

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
from tomoprior.cli import console
from tomoprior.cli.errors import InterruptedWithOutput
from tomoprior.errors import InputError, SettingsError
from tomoprior.geometry import Geometry
from tomoprior.methods.base import Method, SlabMethod
from tomoprior.progress import Progress
from tomoprior.projector import ProjectorOptions
from tomoprior.running.estimate import estimate_memory
from tomoprior.running.slabs import plan as plans
from tomoprior.running.slabs.budget import interpreter_bytes
from tomoprior.running.slabs.executor_selection import open_executor
from tomoprior.running.slabs.executors import Executor, SecureScheduler
from tomoprior.running.slabs.finishing import read_run_identity
from tomoprior.running.slabs.journal import Journal
from tomoprior.running.slabs.run import plan_run, reconstruct_to_file
from tomoprior.series import TiltSeries
from tomoprior.storage.files import record_path

_SIZE = re.compile(r"([0-9.]+) *([KMGT]?)(i?)B?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class SlabOptions:
    """The options about slabs.

    Attributes
    ----------
    enabled
        True if the volume is computed slab by slab.
    slab
        Rows of a slab, or ``auto``.
    memory
        Bytes, or None.
    """

    enabled: bool
    slab: int | Literal["auto"]
    workers: int
    scheduler: str | SecureScheduler | None
    memory: int | None
    resume: bool

    @classmethod
    def parse(
        cls, *, slab: str | None, workers: int, scheduler: str | None, tls: tuple[Path | None, Path | None, Path | None],
        memory: str | None, resume: bool,
    ) -> SlabOptions:  # fmt: skip
        """Return the options as typed values; raises InputError or SettingsError."""
        enabled = slab is not None or workers > 1 or scheduler is not None or resume or memory is not None
        if slab not in (None, "auto") and not (str(slab).isdecimal() and int(str(slab)) > 0):
            raise InputError(f"--slab takes auto or a number of rows, got {slab!r}")
        if scheduler is not None and workers > 1:
            raise SettingsError("--workers starts processes here, --scheduler uses those of a cluster: give one of them")
        rows: int | Literal["auto"] = "auto" if slab in (None, "auto") else int(str(slab))
        return cls(
            enabled=enabled, slab=rows, workers=workers, scheduler=_secure(scheduler, tls),
            memory=None if memory is None else parse_size(memory), resume=resume,
        )  # fmt: skip

    def resolved(
        self, geometry: Geometry, method: Method, settings: Any, projector: ProjectorOptions, notes: list[str]
    ) -> SlabOptions:
        """Return the options, with slabs enabled and a note added where the whole volume does not fit into memory."""
        if self.enabled:
            return self
        whole = estimate_memory(method, projector.projector(geometry), settings).memory
        free = memory.available()
        if whole <= free or (method.couples_slices and not isinstance(method, SlabMethod)):
            return self
        notes.append(
            f"the whole volume needs {memory.format_bytes(whole)} and {memory.format_bytes(free)} are free: slab by slab"
        )
        return replace(self, enabled=True)

    def executor(self, threads: int | None = None) -> Executor:
        """Return the executor by which the plan is made; for a cluster, whose memory is not known here, a single process."""
        with open_executor(self.workers, None, threads) as executor:
            return executor


def _secure(scheduler: str | None, tls: tuple[Path | None, Path | None, Path | None]) -> str | SecureScheduler | None:
    ca_file, cert_file, key_file = tls
    if ca_file is None and cert_file is None and key_file is None:
        return scheduler
    if scheduler is None or ca_file is None or cert_file is None or key_file is None:
        raise SettingsError("--tls-ca, --tls-cert and --tls-key are given together, with --scheduler tls://...")
    if not scheduler.startswith("tls://"):
        raise SettingsError(f"a scheduler with TLS has an address tls://host:port, got {scheduler}")
    return SecureScheduler(scheduler, ca_file, cert_file, key_file)


def parse_size(text: str) -> int:
    """Return ``8GiB``, ``8G`` or ``500MB`` in bytes; raises InputError."""
    match = _SIZE.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError
        value, prefix, binary = match.groups()
        base = 1000 if prefix and not binary and text.strip().upper().endswith("B") else 1024
        return int(float(value) * base ** " KMGT".index(prefix.upper() or " "))
    except ValueError:
        raise InputError(f"--memory takes a size such as 8GiB, got {text!r}") from None


def run(
    series: TiltSeries, method: Method, settings: Any, out: Path, projector: ProjectorOptions, options: SlabOptions,
    notes: list[str], *, field: Path | None, dry_run: bool, overwrite: bool, threads: int | None, **arguments: Any,
) -> None:  # fmt: skip
    """Print the plan, then compute the volume; raises InterruptedWithOutput on Ctrl-C."""
    if field is not None:
        raise SettingsError("--field: each slab has its own field, and there is no common one; leave --field or --slab out")
    executor = options.executor(threads)
    plan = plan_run(
        series, method, settings, projector, earlier_run=read_run_identity(out) if options.resume else {}, slab=options.slab,
        executor=executor, memory=options.memory, initial=arguments["initial"], mask=arguments["mask"],
    )  # fmt: skip
    cost = plans.estimate_cost(plan, series.geometry, method, settings, projector)
    for line in _describe(plan, cost, interpreter_bytes(projector.device)):
        typer.echo(line)
    where = " on one such machine" if options.scheduler else ""
    typer.echo(f"time         about {console.format_estimate(cost.seconds)}{where}")
    console.print_notes(notes)
    if dry_run:
        typer.echo("dry run: nothing was written")
        return
    # the run has the slabs of the printed plan; a cluster's workers may have more memory, or less
    rows = plan.rows if options.scheduler is None else options.slab
    started = time.perf_counter()
    earlier_record = _file_identity(record_path(out))
    try:
        with _SlabProgress(method.name, len(plan.slabs)) as progress:
            result = reconstruct_to_file(
                series, method, settings, out, projector, slab=rows, workers=options.workers, scheduler=options.scheduler,
                resume=options.resume, overwrite=overwrite, memory=options.memory, threads=threads, progress=progress,
                tell=progress.print_line, record={"command": shlex.join(sys.argv), "notes": notes},
                labels=(f"tomoprior {__version__} {method.name}: {series.geometry.n_angles} tilts",), **arguments,
            )  # fmt: skip
    except KeyboardInterrupt:
        typer.echo(f"interrupted  {_interruption(out, len(plan.slabs), earlier_record)}", err=True)
        raise InterruptedWithOutput from None
    console.print_result(result, out, time.perf_counter() - started)


def _describe(plan: plans.Plan, cost: plans.PlanCost, interpreter: int) -> list[str]:
    """Return a plan as lines for the user."""
    halo = f", each with {plan.halo} more on either side" if plan.halo else ""
    at_a_time = f", {plan.workers} at a time" if plan.workers > 1 else ""
    return [
        f"slabs        {len(plan.slabs)} of {plan.rows} rows{halo}{at_a_time}",
        f"memory       about {memory.format_bytes(cost.memory + interpreter)} for each worker, with its Python interpreter",
        f"disk         at most about {memory.format_bytes(cost.disk)}, less by compression",
    ]


def _file_identity(path: Path) -> tuple[int, int] | None:
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.exists() else None


def _interruption(out: Path, total: int, earlier_record: tuple[int, int] | None) -> str:
    """Return the state of the output after Ctrl-C, as a line for the user."""
    journal = Journal(out)
    if journal.run is not None:
        return f"{len(journal.done())} of {total} slab(s) are kept; the same command with --resume continues"
    if _file_identity(record_path(out)) != earlier_record:
        return f"{out} is finished"
    return "nothing was written"


class _SlabProgress(Progress):
    """A bar over slabs on a terminal, and a line for each slab elsewhere, on standard error."""

    def __init__(self, title: str, total: int) -> None:
        from tqdm import tqdm

        self.bar = tqdm(desc=title, total=total, disable=None, unit="slab", dynamic_ncols=True)
        self._started, self._before = time.perf_counter(), 0

    def __enter__(self) -> _SlabProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def print_line(self, line: str) -> None:
        """Print a line above the bar."""
        self.bar.write(line) if not self.bar.disable else print(line, flush=True)

    def __call__(self, done: int, total: int, values: dict[str, float], /) -> None:
        if self.bar.disable:
            # the first call gives the number of slabs that an earlier run finished
            self._before = self._before or done - 1 or -1
            new = done - max(self._before, 0)
            remaining = (time.perf_counter() - self._started) / max(new, 1) * (total - done)
            shown = "".join(f", {name} {value:.4g}" for name, value in values.items())
            clock = time.strftime("%Y-%m-%d %H:%M:%S")
            left = console.format_estimate(remaining)
            print(f"{clock} slab {done} of {total}{shown}, about {left} left", file=sys.stderr, flush=True)
            return
        self.bar.set_postfix({k: f"{v:.4g}" for k, v in values.items()}, refresh=False)
        if self.bar.n == 0 and done > 1:
            self.bar.initial = self.bar.n = done - 1
        self.bar.update(done - self.bar.n)
