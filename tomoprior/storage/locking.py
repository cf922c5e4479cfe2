"""A file that says who is at work: one process has it at a time, and however that ends the next one can have it."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from tomoprior.errors import TomopriorError
from tomoprior.storage.files import reraise_disk_errors

#: What a file system without locks says.
WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)


@contextmanager
def exclusive_lock(path: Path, refused: Callable[[str], TomopriorError], *, host: bool = False) -> Iterator[None]:
    """Have the lock ``path`` while the block lasts; that of a process that has died is taken over.

    Where the file system has no locks, the process that is named in the file has it as long as it runs; of one on another
    machine no one can tell, and it is believed.

    Parameters
    ----------
    path
        The file; it and its folder are made where they are missing, and it is removed at the end.
    refused
        Makes the error from who has the lock: ``process 4711``, with ``host`` ``process 4711 on node3``.
    host
        Name the machine too, where several may ask.

    Raises
    ------
    FormatError
        If the file cannot be written.
    """
    with reraise_disk_errors(path):
        file = _acquired(path, refused, host)
    try:
        yield
    finally:
        with file, suppress(OSError):  # where it cannot be removed, an empty claim is left: no process has it
            if _same(file, path):
                path.unlink()


def _acquired(path: Path, refused: Callable[[str], TomopriorError], host: bool) -> TextIO:
    while True:
        file = _opened(path)
        try:
            if _lock(file) and _same(file, path):
                file.truncate(0)
                file.write(f"{os.getpid()} on {socket.gethostname()}\n" if host else f"{os.getpid()}\n")
                file.flush()
                return file
            owner = _owner(file)
            if _same(file, path):
                raise refused(f"process {owner}" if owner else "another process")
        except BaseException:
            file.close()
            raise
        file.close()  # it was removed by the process that had it


def _opened(path: Path) -> TextIO:
    while True:
        path.parent.mkdir(exist_ok=True)
        try:
            return open(path, "a+", encoding="utf-8")
        except FileNotFoundError:  # the process that had it may have removed the folder too
            if path.parent.is_dir():
                raise


def _lock(file: TextIO) -> bool:
    """Whether this process has the lock now; the kernel gives it back when a process ends, however it ends."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
        return not _runs(_owner(file))
    return True


def _owner(file: TextIO) -> str:
    file.seek(0)
    return file.read(200).strip()


def _runs(owner: str) -> bool:
    number, _, host = owner.partition(" on ")
    elsewhere = host not in ("", socket.gethostname())
    return elsewhere or (number.isdecimal() and Path(f"/proc/{number}").exists())


def _same(file: TextIO, path: Path) -> bool:
    """False if the file was removed, by the process that had the lock, since it was opened."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
