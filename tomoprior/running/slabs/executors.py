"""Executors of slabs: in this process, in processes on this machine, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tomoprior.running.slabs.budget import usable_memory
from tomoprior.running.slabs.plan import Slab

#: ``work(slab)`` or ``work(slab, device)`` returns the slab's record.
Work = Callable[..., dict[str, Any]]

#: Number of times that a slab is tried again after the death of its worker: a cluster's scheduler may kill workers too.
RETRIES = 20


class Executor(Protocol):
    """Runs slabs in any order, each at least once.

    Attributes
    ----------
    workers
        Number of slabs at a time.
    interpreters
        Number of processes on this machine whose Python interpreters count in ``--memory``.
    threads
        CPU threads of each worker, or None for torch's own number.
    notes
        Lines for the user, such as the address of a dashboard.
    """

    workers: int
    interpreters: int
    threads: int | None
    notes: list[str]

    @property
    def weight(self) -> Callable[[Any], int] | None:
        """A function that returns the size in bytes of an object as sent to a worker, and raises if it cannot be sent.

        None if slabs are computed in this process and nothing is sent.
        """

    def memory(self, device: str) -> int:
        """Return the bytes that all workers together may use, if each uses as much as the smallest has."""

    def run(self, work: Work, slabs: Sequence[Slab]) -> Iterator[dict[str, Any]]:
        """Yield the slabs' records as they are finished; the first error is raised, and the other slabs are cancelled."""


@dataclass(frozen=True)
class SecureScheduler:
    """The address of a Dask scheduler with the files that authenticate this client.

    Attributes
    ----------
    address
        ``tls://host:port``.
    ca_file, cert_file, key_file
        PEM files: the certificate authority, and the client's certificate and private key.
    """

    address: str
    ca_file: Path
    cert_file: Path
    key_file: Path

    def __str__(self) -> str:
        return self.address


class Serial:
    """One slab after the other, in this process."""

    workers, interpreters, weight = 1, 1, None

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads
        self.notes: list[str] = []

    def memory(self, device: str) -> int:
        """Return the free memory of this machine that may be used."""
        return usable_memory(device)

    def run(self, work: Work, slabs: Sequence[Slab]) -> Iterator[dict[str, Any]]:
        """Run the slabs in their order."""
        for slab in slabs:
            yield work(slab)


def worker_device(requested: str, place: int, count: int, environment: Mapping[str, str]) -> str:
    """Return the device of a worker: its own GPU where there are several and none is assigned.

    Parameters
    ----------
    requested
        Device of the run: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    place
        Number of this worker among those of its machine.
    count
        Number of GPUs that torch sees.
    environment
        With ``CUDA_VISIBLE_DEVICES`` in it, GPUs are assigned already and the first is used: dask-cuda gives each worker all
        GPUs in another order, and batch systems give each job its own.
    """
    if requested not in ("auto", "cuda") or count == 0:
        return requested
    if environment.get("CUDA_VISIBLE_DEVICES") is not None:
        return "cuda:0"
    return f"cuda:{place % count}"
