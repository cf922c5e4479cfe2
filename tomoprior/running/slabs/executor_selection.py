"""Choose where the slabs of a run are computed."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from tomoprior import plugins
from tomoprior.running.slabs.executors import Executor, Serial
from tomoprior.running.slabs.processes import ProcessExecutor

#: Name of the entry-point group.
GROUP = "tomoprior.executors"


def open_executor(workers: int, scheduler: Any, threads: int | None = None) -> AbstractContextManager[Executor]:
    """Return this process for one worker, processes for several, and the executor ``dask`` for a scheduler.

    Raises
    ------
    MissingDependencyError
        If the executor ``dask`` is not installed.
    """
    if scheduler is not None:
        executor: AbstractContextManager[Executor] = plugins.load(GROUP, "dask")(scheduler, threads)
        return executor
    if workers <= 1:
        return nullcontext(Serial(threads))
    return ProcessExecutor(workers, threads)
