"""Slabs in several processes on this machine, which talk to this one through pipes: no network port is opened.

A worker gets the work as one pickle, since a method may be a class of the caller's script, and then slabs as lines of JSON.
Its replies are lines of JSON: this process never reads a pickle.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from types import TracebackType
from typing import Any

from cloudpickle import dumps

from tomoprior import errors
from tomoprior.errors import BackendError, TomopriorError
from tomoprior.import_path import describe_import_path
from tomoprior.memory import cpu_count
from tomoprior.running.slabs.budget import interpreter_bytes, usable_memory
from tomoprior.running.slabs.executors import RETRIES, Work
from tomoprior.running.slabs.plan import Slab
from tomoprior.storage.records import parse_json

#: Environment variables that set the threads of numerical libraries when a process starts.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class ProcessExecutor:
    """Worker processes on this machine.

    Parameters
    ----------
    workers
        Number of processes.
    threads
        CPU threads that they share; by default all cores of this process.
    """

    def __init__(self, workers: int, threads: int | None = None) -> None:
        self.workers, self.interpreters = workers, workers + 1
        self.threads: int | None = max(1, (threads or cpu_count()) // workers)
        self.notes: list[str] = []
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def __enter__(self) -> ProcessExecutor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()

    def memory(self, device: str) -> int:
        """Return the free memory that may be used, less what the workers' interpreters take."""
        return usable_memory(device) - self.workers * interpreter_bytes(device)

    def weight(self, thing: Any) -> int:
        """Return the size of an object in bytes when it is sent."""
        return len(dumps(thing))

    def run(self, work: Work, slabs: Sequence[Slab]) -> Iterator[dict[str, Any]]:
        """Yield records as slabs are finished; a slab whose worker dies goes to a new worker."""
        job = dumps(work)
        waiting: queue.SimpleQueue[Slab | None] = queue.SimpleQueue()
        finished: queue.SimpleQueue[dict[str, Any] | BaseException] = queue.SimpleQueue()
        for slab in slabs:
            waiting.put(slab)
        count = min(self.workers, len(slabs))
        for _ in range(count):
            waiting.put(None)
        self._closed = False
        threads = [threading.Thread(target=self._feed, args=(place, job, waiting, finished)) for place in range(count)]
        for thread in threads:
            thread.start()
        try:
            for _ in slabs:
                result = finished.get()
                if isinstance(result, BaseException):
                    raise result
                yield result
        finally:
            self._close()
            for thread in threads:
                thread.join()

    def _feed(
        self,
        place: int,
        job: bytes,
        waiting: queue.SimpleQueue[Slab | None],
        finished: queue.SimpleQueue[dict[str, Any] | BaseException],
    ) -> None:
        """Send slabs to one worker, and its replies to ``finished``."""
        process: subprocess.Popen[bytes] | None = None
        try:
            while (slab := waiting.get()) is not None and not self._closed:
                for _ in range(RETRIES + 1):
                    try:
                        if process is None:
                            process = self._start(place)
                            _send(process, job)
                        _send(process, json.dumps(asdict(slab)).encode() + b"\n")
                        reply = _receive(process)
                    except (OSError, EOFError, ValueError):
                        self._stop(process)
                        process = None
                        if self._closed:
                            return
                        continue
                    finished.put(reply)
                    if isinstance(reply, BaseException):
                        return
                    break
                else:
                    finished.put(death_error(slab))
                    return
        except BaseException as error:
            finished.put(error)
        finally:
            self._stop(process)

    def _start(self, place: int) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            **dict.fromkeys(THREAD_VARIABLES, str(self.threads)),
            "PYTHONPATH": describe_import_path(),
        }
        command = [sys.executable, "-P", "-m", "tomoprior.running.slabs.worker", str(place)]
        # a process group of its own: Ctrl-C in the terminal reaches this process alone
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, process_group=0)
        self._running.add(process)
        if self._closed:
            process.kill()
        return process

    def _stop(self, process: subprocess.Popen[bytes] | None) -> None:
        """End one worker; it is killed, because a finished slab is safe and an unfinished one is not wanted."""
        if process is None:
            return
        process.kill()
        process.wait()
        self._running.discard(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):  # bytes that the worker did not read
                    pipe.close()

    def _close(self) -> None:
        self._closed = True
        for process in list(self._running):
            process.kill()


def death_error(slab: Slab) -> BackendError:
    """Return the error for a slab whose workers died again and again."""
    return BackendError(
        f"rows {slab.start} to {slab.stop}: the workers of this slab died {RETRIES + 1} times, perhaps for lack of memory; "
        "continue with --resume and fewer workers"
    )


def _send(process: subprocess.Popen[bytes], message: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(message)
    process.stdin.flush()


def _receive(process: subprocess.Popen[bytes]) -> dict[str, Any] | Exception:
    """Return the record of a slab, or the error that ended it.

    Raises
    ------
    EOFError, ValueError
        If the worker died before or within its reply.
    """
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    reply = parse_json(line)
    record, error = reply.get("record"), reply.get("error")
    return record if isinstance(record, dict) else _to_error(error if isinstance(error, dict) else {})


def _to_error(described: dict[str, Any]) -> Exception:
    """Return the error that a worker described: one of ours, a lack of memory, or a RuntimeError that names the class."""
    name, message = (str(described.get(key, "")) for key in ("class", "message"))
    kind = MemoryError if name == "MemoryError" else getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, TomopriorError | MemoryError):
        return kind(message)
    return RuntimeError(f"{name}: {message}")
