"""Inputs are read in a child process: its death, a hang and memory beyond the limit are findings, and the rest goes on."""

from __future__ import annotations

import faulthandler
import json
import mmap
import os
import resource
import signal
import sys
import time
import traceback
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tomoprior.errors import TomopriorError

#: Seconds of processor time, and of the clock, after which an input hangs.
CPU_LIMIT, CLOCK_LIMIT = 10, 120

#: Bytes that may be taken for a file of some kilobytes, beyond twice what it claims.
SLACK = 16 << 20


@dataclass(frozen=True)
class Finding:
    """An input that was not handled.

    Attributes
    ----------
    index
        Number of the input.
    fault
        The error, the signal, ``hang`` or ``memory``, with the place.
    """

    index: int
    fault: str


def check_input(read: Callable[[], int]) -> str | None:
    """Read one input; returns the fault, or None.

    Parameters
    ----------
    read
        Reads the input and returns the bytes that it claims.
    """
    tracemalloc.start()
    claimed, fault = 0, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            claimed = read()
    except TomopriorError as error:
        if "\n" in str(error) or "\x1b" in str(error) or len(str(error)) > 2000:
            fault = f"the message of {type(error).__name__} is not one plain line: {str(error)[:300]!r}"
    except Exception as error:
        frames = [f"{f.filename.rpartition('/')[2]}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)]
        fault = f"{type(error).__name__}: {str(error)[:200]!r} at {' '.join(frames[-5:])}"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    if fault is None and peak > 2 * claimed + SLACK:
        fault = f"memory: {peak >> 20} MiB were taken, and {claimed >> 20} MiB are claimed"
    return fault


def run_guarded(check: Callable[[int], str | None], count: int) -> Iterator[Finding]:
    """Check the inputs 0 to ``count`` in child processes."""
    at = mmap.mmap(-1, 8)  # the input at work, seen by both processes
    start = 0
    while start < count:
        at[:] = start.to_bytes(8, "little")
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking: no thread works here
            child = os.fork()
        if child == 0:
            os.close(reader)
            _work(check, range(start, count), at, writer)
        os.close(writer)
        fault = _watch(child, at)
        with os.fdopen(reader) as lines:
            yield from (Finding(*json.loads(line)) for line in lines)
        last = int.from_bytes(at[:], "little")
        if fault is not None:
            yield Finding(last, fault)
        start = count if fault is None else last + 1


def _work(check: Callable[[int], str | None], indices: range, at: mmap.mmap, writer: int) -> None:
    faulthandler.disable()  # a death is a finding, not an error of the tests
    try:
        # malloc fails beyond this; libraries that do not use Python's memory are bounded too
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30),) * 2)
        for index in indices:
            at[:] = index.to_bytes(8, "little")
            fault = check(index)
            if fault is not None:
                os.write(writer, (json.dumps([index, fault]) + "\n").encode())
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _watch(child: int, at: mmap.mmap) -> str | None:
    """Wait for the child; returns how it ended if not well."""
    seen, since, used = -1, 0.0, 0.0
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            if os.WIFSIGNALED(status):
                return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
            if os.WEXITSTATUS(status):
                sys.exit("the child failed by a fault of its own")
            return None
        index = int.from_bytes(at[:], "little")
        if index != seen:
            seen, since, used = index, time.monotonic(), _processor_time(child)
        if _processor_time(child) - used > CPU_LIMIT or time.monotonic() - since > CLOCK_LIMIT:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "hang"
        time.sleep(0.02)


def _processor_time(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
