"""A trial of an HDF5 file in a process of its own, because the HDF5 library can crash or loop on damaged attributes.

Run as a program, this file reads all attributes and the small values of a file, and imports nothing but h5py. It ends by a
signal where the library crashes, and by its limit of processor time where the library does not come to an end.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

#: Seconds of processor time for a trial. A file with 10,000 objects takes one.
SECONDS = 10

#: Objects that are read, and bytes of the values that are read.
OBJECTS, SMALL = 20_000, 1 << 16

#: Bytes that a trial may take beyond what its libraries take.
MEMORY = 2 << 30


def try_in_a_process(path: Path) -> str | None:
    """Return how the HDF5 library fails on the metadata of a file, or None; a file that has not changed is tried once."""
    try:
        found = path.stat()
    except OSError:
        return None
    return _try(str(path.absolute()), found.st_ino, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=1024)
def _try(path: str, *identity: int) -> str | None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folder or os.getcwd() for folder in sys.path)}
    command = [sys.executable, "-P", __file__, path]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode >= 0:
        return None
    if -done.returncode in (signal.SIGXCPU, signal.SIGKILL):
        return f"the HDF5 library does not come to an end within {SECONDS} s"
    return f"the HDF5 library crashes ({signal.Signals(-done.returncode).name})"


def _read_everything(path: str) -> None:
    import h5py

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    names: list[str] = []

    def collect(name: str, *_: Any) -> bool | None:
        names.append(name)
        return True if len(names) >= OBJECTS else None

    with h5py.File(path, "r") as file:
        _read(file)
        file.visititems_links(collect)
        for name in names:
            with suppress(Exception):  # a fault that h5py reports is the reader's affair
                _read(file[name])


def _read(item: Any) -> None:
    for key in list(item.attrs):
        with suppress(Exception):
            item.attrs[key]
    if getattr(item, "shape", None) is not None and item.size * item.dtype.itemsize <= SMALL:
        item[()]


if __name__ == "__main__":
    with suppress(Exception):
        _read_everything(sys.argv[1])
