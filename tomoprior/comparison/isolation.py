"""A contestant in a process of its own, which can be ended: a crash, or a method that never ends, harms no other."""

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
from tomoprior.comparison.worker import job

#: Seconds beyond the budget after which a method that does not say how far it is gets ended, and what starting may take.
GRACE, START = 5.0, 60.0


def run_in_process(
    folder: Path,
    contestant: Candidate,
    store: Store,
    checks: tuple[str, ...],
    *,
    tune: bool = False,
    budget: float | None = None,
    step: Step | None = None,
) -> dict[str, Any]:
    """As ``Contest.run``; ``folder`` holds the arena.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C; the process is ended first.
    """
    (folder / "job.json").write_text(json.dumps(job(contestant, store, checks, tune=tune, budget=budget)), encoding="utf-8")
    errors = folder / "stderr.txt"
    with errors.open("w+", encoding="utf-8", errors="replace") as said:
        # a session of its own: Ctrl-C at the terminal comes to this process, which then ends that one
        process = subprocess.Popen(
            [sys.executable, "-m", "tomoprior.comparison.worker", str(folder)],
            stdout=subprocess.PIPE, stderr=said, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            late = _follow(process, budget, step)
        finally:
            _end(process)
        said.seek(0)
        last = [line.strip() for line in said.read().splitlines() if line.strip()][-1:]
    outcome = store.get("outcome")
    if late:
        return _cut(store, contestant, budget)
    if process.returncode == 0 and outcome is not None:
        return outcome
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        why = f"its process was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    else:
        why = f"its process ended with {process.returncode}" + (f": {last[0]}" if last else "")
    return {"status": "failed", "message": why, "seconds": {}, "settings": contestant.settings.model_dump(mode="json")}


def _follow(process: subprocess.Popen[str], budget: float | None, step: Step | None) -> bool:
    """Pass on what it says until it ends; True if it went far beyond its budget and was ended."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    deadline = None  # counts from its first word on: starting is not the method's time
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


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with the processes that the method may have started
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _cut(store: Store, contestant: Candidate, budget: float | None) -> dict[str, Any]:
    """What is left of one that was ended: the parts that it had kept."""
    kept = store.get("reconstruction")
    left = "no volume" if kept is None else "the volume itself is complete, checks are missing"
    state: dict[str, Any] = {
        "status": "over budget",
        "message": f"ended after the budget of {budget:g} s, which it did not keep to: {left}",
        "seconds": {} if kept is None else {"reconstruction": kept["seconds"]},
        "settings": contestant.settings.model_dump(mode="json"),
    }
    store.put("outcome", state)
    return state
