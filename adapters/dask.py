"""Dask: slabs on the workers of a cluster, one future each."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from types import TracebackType
from typing import Any

from distributed import Client, Security, as_completed, get_worker
from distributed.client import Future
from distributed.protocol.pickle import dumps
from distributed.scheduler import KilledWorker

from tomoprior.errors import BackendError, InputError
from tomoprior.running.slabs.budget import usable_memory
from tomoprior.running.slabs.executors import RETRIES, SecureScheduler, Work, worker_device
from tomoprior.running.slabs.plan import Slab
from tomoprior.running.slabs.processes import death_error
from tomoprior.storage.lazy import one_line

#: Seconds within which at least one worker must report its memory; workers that have died are replaced meanwhile.
ANSWER_TIME = 60.0

#: How long a scheduler may take to answer.
PATIENCE = "20s"

#: Largest task in bytes: a larger one holds an array, which must not travel through the scheduler.
LARGEST = 4 << 20


class DaskExecutor:
    """Workers of a Dask cluster.

    A scheduler trusts every client that can connect, and its workers run the code that clients send. An address ``tcp://...``
    has no access control at all: use it only where nobody else reaches the port.

    Parameters
    ----------
    scheduler
        ``tcp://host:port`` or another address, a ``SecureScheduler`` with TLS files, or a ``distributed.Client``, which is
        left open.
    threads
        CPU threads of each worker; by default torch's own number.

    Raises
    ------
    BackendError
        If the scheduler cannot be reached, or has no worker.
    """

    def __init__(self, scheduler: Any, threads: int | None = None) -> None:
        self.workers, self.interpreters, self.threads, self._scheduler = 1, 1, threads, scheduler
        self.notes: list[str] = []
        self._open = ExitStack()

    def __enter__(self) -> DaskExecutor:
        self._client = self._scheduler if isinstance(self._scheduler, Client) else self._connect()
        self.workers = self.interpreters = _count_workers(self._client)
        link = self._client.dashboard_link
        needs = "" if find_spec("bokeh") else " (with bokeh installed)"
        self.notes.append(f"dashboard    {link}{needs}" if link else "dashboard    none")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()

    def _connect(self) -> Client:
        options: dict[str, Any] = {}
        certificate = Security().get_tls_config_for_role("client")["cert"]  # Dask's configuration may name the files too
        has_files = isinstance(self._scheduler, SecureScheduler) or certificate is not None
        if str(self._scheduler).startswith("tls://") and not has_files:
            raise BackendError(f"{self._scheduler} needs TLS files: give --tls-ca, --tls-cert and --tls-key, or a Client")
        try:
            if isinstance(self._scheduler, SecureScheduler):
                files = self._scheduler
                options["security"] = Security(
                    require_encryption=True, tls_ca_file=str(files.ca_file), tls_client_cert=str(files.cert_file),
                    tls_client_key=str(files.key_file),
                )  # fmt: skip
            client: Client = self._open.enter_context(
                Client(str(self._scheduler), timeout=PATIENCE, set_as_default=False, **options)
            )
        except (OSError, ValueError) as error:
            raise BackendError(f"no Dask scheduler answers at {self._scheduler} ({one_line(error)})") from error
        return client

    def memory(self, device: str) -> int:
        """Return the bytes of all workers: their number times the smallest share; workers of one machine share its memory."""
        answers: dict[str, tuple[str, int]]
        end = time.monotonic() + ANSWER_TIME
        # a worker that dies while it is asked does not count: another takes its place
        while not (answers := self._client.run(_free_memory, device, on_error="ignore")):
            if time.monotonic() > end:
                raise BackendError("no worker of the Dask cluster answers")
            time.sleep(0.5)
        hosts = Counter(host for host, _ in answers.values())
        least: int = min(free // hosts[host] for host, free in answers.values())
        return self.workers * least

    def weight(self, thing: Any) -> int:
        """Return the size of an object in bytes when Dask sends it."""
        return len(dumps(thing))

    def run(self, work: Work, slabs: Sequence[Slab]) -> Iterator[dict[str, Any]]:
        """Submit one task a slab, and yield records as they come; slabs whose workers die go to other workers."""
        task = _Task(work)
        if (size := self.weight(task)) > LARGEST:
            raise InputError(f"a slab's task has {size} bytes, which is too much to send: give arrays as files")
        pending = {self._submit(task, slab, 0): (slab, 0) for slab in slabs}
        completed = as_completed(list(pending), loop=self._client.loop)
        try:
            for future in completed:
                slab, deaths = pending.pop(future)
                try:
                    yield future.result()
                except KilledWorker:
                    if deaths >= RETRIES:
                        raise death_error(slab) from None
                    again = self._submit(task, slab, deaths + 1)
                    pending[again] = (slab, deaths + 1)
                    completed.add(again)
        finally:
            if pending:
                self._client.cancel(list(pending), force=True)

    def _submit(self, task: Callable[[Slab], dict[str, Any]], slab: Slab, attempt: int) -> Future[Any]:
        # the lowest slabs come first; the key differs from those of other runs, so that no result of theirs is returned
        return self._client.submit(
            task, slab, key=f"tomoprior-{id(task)}-{os.getpid()}-{slab.number}-{attempt}", pure=False, priority=-slab.number
        )


class _Task:
    """The work on a slab, with the device of the worker that runs it."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def __call__(self, slab: Slab) -> dict[str, Any]:
        import torch

        requested = str(getattr(self.work, "device", "auto"))
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return self.work(slab, worker_device(requested, _worker_number(), count, os.environ))


def _free_memory(device: str) -> tuple[str, int]:
    """Return the worker's machine with its GPUs, and the bytes that are free there."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return f"{socket.gethostname()} {visible}", usable_memory(device)


def _worker_number() -> int:
    """Return the number of this worker among those of its machine; 0 outside a worker."""
    try:
        name = get_worker().name
    except ValueError:
        return 0
    return name if isinstance(name, int) else int(name) if str(name).isdigit() else 0


def _count_workers(client: Client) -> int:
    try:
        client.wait_for_workers(1, timeout=60)
    except TimeoutError:
        raise BackendError("the Dask scheduler has no worker after 60 s") from None
    return len(client.scheduler_info(n_workers=-1)["workers"])
