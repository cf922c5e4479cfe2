"""Dask: slabs on the workers of a local or a remote cluster, one future each."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from types import TracebackType
from typing import Any

from distributed import Client, LocalCluster, as_completed, get_worker
from distributed.client import Future
from distributed.protocol.pickle import dumps
from distributed.scheduler import KilledWorker

from tomoprior.errors import BackendError, InputError
from tomoprior.running.slabs.executors import Work
from tomoprior.running.slabs.plan import Slab, usable_memory
from tomoprior.storage.lazy import one_line

#: Deaths of workers that a slab survives: what kills them may be the scheduler of a cluster, and not the slab.
RETRIES = 20

#: Times that workers are asked for their memory, if all that were asked have died.
ASKED = 3

#: How long a scheduler may take to answer.
PATIENCE = "20s"

#: Bytes of a slab's task: more would be an array on its way through the scheduler.
LARGEST = 4 << 20


class DaskExecutor:
    """Workers of a Dask cluster.

    Parameters
    ----------
    workers
        Processes to start on this machine, where no scheduler is given. They share its cores.
    scheduler
        ``tcp://host:port`` or another address, or a ``distributed.Client``, which is left open.

    Raises
    ------
    BackendError
        If the scheduler cannot be reached, or has no worker.
    """

    def __init__(self, workers: int = 1, scheduler: Any = None) -> None:
        self.workers, self._scheduler = workers, scheduler
        self.notes: list[str] = []
        self._open = ExitStack()
        self._threads: int | None = None

    def __enter__(self) -> DaskExecutor:
        if isinstance(self._scheduler, Client):
            self._client = self._scheduler
        elif self._scheduler is not None:
            try:
                self._client = self._open.enter_context(Client(str(self._scheduler), timeout=PATIENCE, set_as_default=False))
            except (OSError, ValueError) as error:
                raise BackendError(f"no Dask scheduler answers at {self._scheduler} ({one_line(error)})") from error
        else:
            self._client = self._local()
        if self._scheduler is not None:
            self.workers = _count(self._client)
        link = self._client.dashboard_link
        needs = "" if find_spec("bokeh") else " (with bokeh installed)"
        self.notes.append(f"dashboard    {link}{needs}" if link else "dashboard    none")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()

    def _local(self) -> Client:
        """A cluster of processes on this machine."""
        cores = len(os.sched_getaffinity(0))
        self._threads = max(1, cores // self.workers)
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        # the plan has shared out the memory: a worker that Dask stopped for taking its part would never end
        cluster = LocalCluster(
            n_workers=self.workers, threads_per_worker=1, processes=True, memory_limit=0, dashboard_address="localhost:0",
            env=dict.fromkeys(names, str(self._threads)), silence_logs=50,
        )  # fmt: skip
        self._open.enter_context(cluster)
        client: Client = self._open.enter_context(Client(cluster, set_as_default=False))
        return client

    def memory(self, device: str) -> int:
        """As much for each worker as the poorest has, where those of a machine share it."""
        if self._scheduler is None:
            return usable_memory(device)
        found: dict[str, tuple[str, int]] = {}
        for _ in range(ASKED):
            # a worker that dies while it is asked does not count: another takes its place
            found = self._client.run(_room, device, on_error="ignore")
            if found:
                break
        else:
            raise BackendError("no worker of the Dask cluster answers")
        hosts = Counter(host for host, _ in found.values())
        least: int = min(room // hosts[host] for host, room in found.values())
        return self.workers * least

    def weight(self, thing: Any) -> int:
        """Bytes in which Dask would send a thing."""
        return len(dumps(thing))

    def run(self, work: Work, slabs: Sequence[Slab]) -> Iterator[dict[str, Any]]:
        """One task a slab; those whose workers die are given to others."""
        task = _Task(work, self._threads)
        if (size := self.weight(task)) > LARGEST:
            raise InputError(f"a slab's task has {size} bytes, which is too much to send: give arrays as files")
        left = {self._submit(task, slab, 0): (slab, 0) for slab in slabs}
        pending = as_completed(list(left), loop=self._client.loop)
        try:
            for future in pending:
                slab, deaths = left.pop(future)
                try:
                    yield future.result()
                except KilledWorker:
                    if deaths >= RETRIES:
                        raise BackendError(
                            f"rows {slab.start} to {slab.stop}: workers died of them again and again, perhaps for want of "
                            "memory; go on with --resume and fewer workers"
                        ) from None
                    again = self._submit(task, slab, deaths + 1)
                    left[again] = (slab, deaths + 1)
                    pending.add(again)
        finally:
            if left:
                self._client.cancel(list(left), force=True)

    def _submit(self, task: Callable[[Slab], dict[str, Any]], slab: Slab, attempt: int) -> Future[Any]:
        # the lowest slabs first; and no result of another run is taken for this one's
        return self._client.submit(
            task, slab, key=f"tomoprior-{id(task)}-{os.getpid()}-{slab.number}-{attempt}", pure=False, priority=-slab.number
        )


class _Task:
    """A slab's work on whatever worker gets it."""

    def __init__(self, work: Work, threads: int | None) -> None:
        self.work, self.threads = work, threads

    def __call__(self, slab: Slab) -> dict[str, Any]:
        import torch

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        requested = str(getattr(self.work, "device", "auto"))
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return self.work(slab, worker_device(requested, _place(), count, os.environ))


def worker_device(requested: str, place: int, count: int, environment: Mapping[str, str]) -> str:
    """The device of a worker: its own GPU where there are several and nobody has shared them out.

    Parameters
    ----------
    requested
        What the run asks for: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    place
        Number of this worker among those of its machine.
    count
        GPUs that torch sees.
    environment
        ``CUDA_VISIBLE_DEVICES`` in it says that this was done: dask-cuda gives each worker all GPUs, its own one first, and
        batch systems those of the job. The first one is taken then.
    """
    if requested not in ("auto", "cuda") or count == 0:
        return requested
    if environment.get("CUDA_VISIBLE_DEVICES") is not None:
        return "cuda:0"
    return f"cuda:{place % count}"


def _room(device: str) -> tuple[str, int]:
    """Machine of a worker, or its GPU, and the bytes that are free there."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return f"{socket.gethostname()} {visible}", usable_memory(device)


def _place() -> int:
    """Number of this worker among those of its machine; 0 outside a worker."""
    try:
        name = get_worker().name
    except ValueError:
        return 0
    return name if isinstance(name, int) else int(name) if str(name).isdigit() else 0


def _count(client: Client) -> int:
    try:
        client.wait_for_workers(1, timeout=60)
    except TimeoutError:
        raise BackendError("the Dask scheduler has no worker after 60 s") from None
    return len(client.scheduler_info(n_workers=-1)["workers"])
