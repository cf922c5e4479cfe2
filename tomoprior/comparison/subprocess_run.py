"""Run a candidate in a process of its own: a method that crashes or never ends harms no other method."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tomoprior.comparison.candidates import Candidate
from tomoprior.comparison.evaluation import Step
from tomoprior.comparison.store import Store
from tomoprior.comparison.worker import describe_job
from tomoprior.import_path import describe_import_path

#: Seconds beyond the budget after which a silent process is killed, and seconds that a process may take to start.
GRACE, START = 5.0, 60.0


def run_in_process(
    folder: Path,
    candidate: Candidate,
    store: Store,
    checks: tuple[str, ...],
    *,
    tune: bool = False,
    budget: float | None = None,
    step: Step | None = None,
) -> dict[str, Any]:
    """Return what ``Evaluation.run`` returns; ``folder`` holds the shared input.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C; the process is killed first.
    """
    job = describe_job(candidate, store, checks, tune=tune, budget=budget)
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    errors = folder / "stderr.txt"
    with errors.open("w+", encoding="utf-8", errors="replace") as log:
        # a session of its own: Ctrl-C at the terminal reaches this process only, which then kills the other
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tomoprior.comparison.worker", str(folder)],
            env={**os.environ, "PYTHONPATH": describe_import_path()},
            stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            late = _pass_on_progress(process, budget, step)
        finally:
            _kill(process)
        log.seek(0)
        last = [line.strip() for line in log.read().splitlines() if line.strip()][-1:]
    outcome = store.get("outcome")
    if late:
        return _over_budget(store, candidate, budget)
    if process.returncode == 0 and outcome is not None:
        return outcome
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        why = f"its process was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    else:
        why = f"its process ended with {process.returncode}" + (f": {last[0]}" if last else "")
    return {"status": "failed", "message": why, "seconds": {}, "settings": candidate.settings.model_dump(mode="json")}


def _pass_on_progress(process: subprocess.Popen[str], budget: float | None, step: Step | None) -> bool:
    """Pass on the progress until the process ends; returns True if it far exceeds its budget."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    deadline = None  # counts from the first line: the start of the process is not the method's time
    limit = time.monotonic() + START
    while True:
        end = limit if deadline is None else deadline
        try:
            line = lines.get(timeout=None if budget is None else max(0.0, end - time.monotonic()))
        except queue.Empty:
            return True
        if line is None:
            process.wait()
            return False
        if budget is not None and deadline is None:
            deadline = time.monotonic() + budget + GRACE
        try:
            stage, iteration, num_iter = json.loads(line)
        except ValueError:  # a method that prints
            continue
        if step is not None:
            step(stage, iteration, num_iter)


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # also kills the processes that the method has started
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _over_budget(store: Store, candidate: Candidate, budget: float | None) -> dict[str, Any]:
    """Return and store the outcome of a process that was killed; its finished parts are kept."""
    part = store.get("reconstruction")
    left = "no volume" if part is None else "the volume itself is complete, checks are missing"
    state: dict[str, Any] = {
        "status": "over budget",
        "message": f"killed after the budget of {budget:g} s, which it did not keep to: {left}",
        "seconds": {} if part is None else {"reconstruction": part["seconds"]},
        "settings": candidate.settings.model_dump(mode="json"),
    }
    store.put("outcome", state)
    return state
