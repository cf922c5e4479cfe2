"""Who does the slabs: this process, or whatever is installed under ``tomoprior.executors``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from tomoprior import plugins
from tomoprior.running.slabs.plan import Slab, usable_memory

#: name of the entry-point group
GROUP = "tomoprior.executors"

#: ``work(slab)`` or ``work(slab, device)`` gives the slab's record.
Work = Callable[..., dict[str, Any]]


class Executor(Protocol):
    """Runs slabs, in any order, each at least once.

    Attributes
    ----------
    workers
        Slabs at a time.
    notes
        Lines for the user: where a dashboard is, say.
    """

    workers: int
    notes: list[str]

    @property
    def weight(self) -> Callable[[Any], int] | None:
        """Gives the bytes in which a thing would be sent to a worker, and raises anything if it cannot be sent.

        None if slabs are done in this process, and nothing is sent.
        """

    def memory(self, device: str) -> int:
        """Bytes that all workers together may take, if each takes as much as the poorest has."""

    def run(self, work: Work, slabs: Sequence[Slab]) -> Iterator[dict[str, Any]]:
        """The slabs' records as they come. The first error of a slab is raised, and the others are given up."""


class Serial:
    """One slab after the other, in this process."""

    workers, weight = 1, None

    def __init__(self) -> None:
        self.notes: list[str] = []

    def memory(self, device: str) -> int:
        """What is free here."""
        return usable_memory(device)

    def run(self, work: Work, slabs: Sequence[Slab]) -> Iterator[dict[str, Any]]:
        """Lowest rows first."""
        for slab in slabs:
            yield work(slab)


def open_executor(workers: int, scheduler: Any) -> AbstractContextManager[Executor]:
    """One worker without a scheduler is this process; else the executor ``dask``.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    if scheduler is None and workers <= 1:
        return nullcontext(Serial())
    found: AbstractContextManager[Executor] = plugins.load(GROUP, "dask")(workers, scheduler)
    return found
