"""A trial of an HDF5 file in a process of its own, because the HDF5 library can crash or loop on damaged attributes.

Run as a program, this file reads attributes and small values of a file, imports nothing but h5py, and prints ``DONE``. It ends
by a signal where the library crashes, and by its limit of processor time where a call of the library does not come to an end.
A file with more metadata than the trial reads in ``ENOUGH`` seconds is not refused: the rest is not tried.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

#: Seconds of processor time after which nothing further is read, and at which the process ends. A file with 10,000 objects of
#: three attributes each takes three.
ENOUGH, SECONDS = 5, 15

#: Objects that are read, and bytes of the values that are read.
OBJECTS, SMALL = 20_000, 1 << 16

#: Bytes that a trial may take beyond what its libraries take.
MEMORY = 2 << 30

#: What the process prints at its end. Its exit status alone does not tell: it is lost where SIGCHLD is ignored.
DONE = "done"

_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)


def try_in_a_process(path: Path) -> str | None:
    """Return how the HDF5 library fails on the metadata of a file, or None; a file that has not changed is tried once.

    Raises
    ------
    OSError
        If the process does not start, or is ended from outside.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return _try(str(path.absolute()), found.st_ino, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=1024)
def _try(path: str, *identity: int) -> str | None:
    # an empty entry is the working folder, which may be gone
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-P", __file__, path]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.stdout.decode().strip() == DONE:
        return None
    if done.returncode == -signal.SIGXCPU:
        return f"the HDF5 library does not come to an end within {SECONDS} s of processor time"
    if -done.returncode in _CRASHES:
        return f"the HDF5 library crashes ({signal.Signals(-done.returncode).name})"
    if done.returncode < 0:
        why = f"was ended by {signal.Signals(-done.returncode).name}"
    else:
        why = f"failed: {(done.stderr.decode(errors='replace').strip().splitlines() or ['it says nothing'])[-1]}"
    raise OSError(f"the process that tries the metadata {why}")


def _read_everything(path: str) -> None:
    import h5py

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    paths = [""]
    # a fault that h5py reports is the reader's affair; level by level, because one broken object ends h5py's own visit of all
    with suppress(Exception), h5py.File(path, "r") as file:
        seen = set()
        for name in islice(paths, OBJECTS):
            with suppress(Exception):
                item = file[name or "/"]
                _read(item)
                place = h5py.h5o.get_info(item.id)
                if isinstance(item, h5py.Group) and (place.fileno, place.addr) not in seen:
                    seen.add((place.fileno, place.addr))
                    paths.extend(f"{name}/{key}" for key in item)
            if _is_enough():
                break


def _read(item: Any) -> None:
    keys: list[str] = []
    with suppress(Exception):
        keys.extend(item.attrs)
    for key in keys:
        if _is_enough():
            return
        with suppress(Exception):
            item.attrs[key]
    if getattr(item, "shape", None) is not None and item.size * item.dtype.itemsize <= SMALL:
        item[()]


def _is_enough() -> bool:
    return time.process_time() > ENOUGH


if __name__ == "__main__":
    _read_everything(sys.argv[1])
    sys.stdout.write(DONE + "\n")
