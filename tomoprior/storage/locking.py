"""Lock files: one process holds a lock at a time, and the kernel frees it however the process ends.

The ``filelock`` package is not used: it cannot take over the lock of a dead process where the file system has no
``flock``, and does not name the holder.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from tomoprior.errors import FormatError, TomopriorError
from tomoprior.storage.files import reraise_disk_errors

#: Error numbers of a file system without locks.
WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)


@contextmanager
def exclusive_lock(path: Path, refused: Callable[[str], TomopriorError], *, host: bool = False) -> Iterator[None]:
    """Hold the lock ``path`` during the block. The lock of a dead process is taken over.

    On a file system without locks, the process named in the file holds the lock as long as it runs. A lock held by a process
    on another machine cannot be verified and is respected. A symbolic link, a file with a second name (hard link), a pipe or
    a device in place of the lock file is refused and stays untouched.

    Parameters
    ----------
    path
        The lock file. It is created if missing, its folder too, and removed at the end.
    refused
        Returns the error for a lock in use. Its argument names the holder: ``process 4711``, with ``host``
        ``process 4711 on node3``.
    host
        Write the name of the machine into the file too: for locks that several machines share.

    Raises
    ------
    FormatError
        If the file cannot be written, or is a link or no regular file.
    """
    with reraise_disk_errors(path):
        file = _acquire(path, refused, host)
    try:
        yield
    finally:
        with file, suppress(OSError):  # a file that cannot be removed stays, and no process holds it
            if _is_current(file, path):
                path.unlink()


def _acquire(path: Path, refused: Callable[[str], TomopriorError], host: bool) -> TextIO:
    while True:
        file = _open_lock(path)
        try:
            if _try_lock(file) and _is_current(file, path):
                file.truncate(0)
                file.write(f"{os.getpid()} on {socket.gethostname()}\n" if host else f"{os.getpid()}\n")
                file.flush()
                return file
            holder = _read_holder(file)
            if _is_current(file, path):
                raise refused(f"process {holder}" if holder else "another process")
        except BaseException:
            file.close()
            raise
        file.close()  # the process that held the lock has removed the file


def _open_lock(path: Path) -> TextIO:
    # the flags follow no link and do not wait for the other end of a pipe
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    while True:
        path.parent.mkdir(exist_ok=True)
        try:
            descriptor = os.open(path, flags, 0o666)
            break
        except FileNotFoundError:  # the process that held the lock may have removed the folder too
            if path.parent.is_dir():
                raise
        except OSError:
            _check_lock_file(path, os.lstat(path))
            raise
    try:
        _check_lock_file(path, os.fstat(descriptor))
    except FormatError:
        os.close(descriptor)
        raise
    return open(descriptor, "r+", encoding="utf-8", errors="replace")


def _check_lock_file(path: Path, status: os.stat_result) -> None:
    """Check that the lock file is a regular file with one name; raises FormatError."""
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        raise FormatError(f"{path}: not a plain lock file but a link, a folder or a device; it stays untouched, remove it")


def _try_lock(file: TextIO) -> bool:
    """Return whether this process holds the lock now; the kernel frees it when the process ends, however it ends."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
        return not _is_running(_read_holder(file))
    return True


def _read_holder(file: TextIO) -> str:
    file.seek(0)
    return file.read(200).strip()


def _is_running(holder: str) -> bool:
    number, _, host = holder.partition(" on ")
    on_other_machine = host not in ("", socket.gethostname())
    return on_other_machine or (number.isdecimal() and Path(f"/proc/{number}").exists())


def _is_current(file: TextIO, path: Path) -> bool:
    """Return False if the process that held the lock has removed the file since it was opened."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.lstat(path))
    except FileNotFoundError:
        return False
