"""Free memory and processors of this process: those of the machine, less what control groups and ``ulimit`` withhold.

A container or a batch job is a control group, and groups nest. The limit of every group from the process's own to the root
counts, and the smallest decides.
"""

from __future__ import annotations

import ctypes
import gc
import os
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

#: Files of a group with its limit and its use, and the name of the reclaimable file cache in ``memory.stat``: v2, v1.
_MEMORY_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def available() -> int:
    """Return the bytes that can be taken now without swapping: the least of machine, control groups and ``ulimit``."""
    return max(0, min(int(psutil.virtual_memory().available), group_memory(), _process_memory()))


def group_memory(root: Path = Path("/")) -> int:
    """Return the bytes that the control groups leave, ``sys.maxsize`` without a limit.

    Parameters
    ----------
    root
        Folder with ``proc`` and the mounted file systems.
    """
    left = sys.maxsize
    for folder in _group_folders("memory", root):
        for limit, used, cache in _MEMORY_FILES:
            with suppress(OSError, ValueError):  # another version, the root group, or "max"
                size = int((folder / limit).read_text())
                # the kernel frees the file cache before it refuses memory
                match = re.search(rf"^{cache} (\d+)$", _read(folder / "memory.stat"), re.MULTILINE)
                left = min(left, size - int((folder / used).read_text()) + (int(match[1]) if match else 0))
    return left


def cpu_count(root: Path = Path("/")) -> int:
    """Return the number of processors for this process, at least 1: its affinity, or the quota of a control group if less.

    A quota is rounded down, since threads beyond it are stopped for a part of the time.

    Parameters
    ----------
    root
        Folder with ``proc`` and the mounted file systems.
    """
    count = len(os.sched_getaffinity(0))
    for folder in _group_folders("cpu", root):
        quota_and_period = (
            _read(folder / "cpu.max") or f"{_read(folder / 'cpu.cfs_quota_us')} {_read(folder / 'cpu.cfs_period_us')}"
        )
        with suppress(ValueError, ZeroDivisionError):  # no quota, or "max"
            quota, period = map(int, quota_and_period.split())
            if quota > 0:  # -1 is no limit
                count = min(count, quota // period)
    return max(1, count)


def release_free_memory() -> None:
    """Collect reference cycles, and return free memory to the system where the C library can (``malloc_trim`` of glibc)."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def format_bytes(size: float) -> str:
    """Return a number of bytes as text: ``1.5 GiB`` (``pydantic.ByteSize`` leaves out the space).

    Examples
    --------
    >>> from tomoprior.memory import format_bytes
    >>> format_bytes(1536)
    '1.5 KiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def _process_memory() -> int:
    """Return the bytes that ``ulimit -v`` and ``ulimit -d`` leave this process."""
    left, used = sys.maxsize, psutil.Process().memory_info()
    for limit, size in ((resource.RLIMIT_AS, used.vms), (resource.RLIMIT_DATA, used.data)):
        most = resource.getrlimit(limit)[0]
        if most != resource.RLIM_INFINITY:
            left = min(left, most - size)
    return left


def _group_folders(controller: str, root: Path) -> Iterator[Path]:
    """Yield the folders of this process's groups for a controller, from its own group to the root, in v1 and v2."""
    groups = [line.split(":", 2) for line in _read(root / "proc/self/cgroup").splitlines()]
    for line in _read(root / "proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        mount, (kind, _, options) = left.split(), right.split()
        for _, controllers, group in groups:
            in_v1 = kind == "cgroup" and controller in options.split(",") and controller in controllers.split(",")
            if in_v1 or (kind == "cgroup2" and not controllers):
                # inside a container the path can be the host's, and the mount shows a part of the tree
                names = Path(group).relative_to(mount[3]).parts if Path(group).is_relative_to(mount[3]) else ()
                top = root / mount[4].lstrip("/")
                yield from (top.joinpath(*names[:n]) for n in range(0 if ".." in names else len(names), -1, -1))


def _read(path: Path) -> str:
    """Return the text of a file, stripped, and nothing if there is none."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
