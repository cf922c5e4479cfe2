"""Where a training writes, and that only one writes there at a time."""

from __future__ import annotations

import errno
import fcntl
import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tomoprior.errors import FormatError, InputError
from tomoprior.formats.files import check_target
from tomoprior.lazy import one_line


@dataclass(frozen=True)
class Outputs:
    """The prior's file, and those that lie beside it while it is trained."""

    prior: Path

    @property
    def state(self) -> Path:
        """What an interrupted training goes on from."""
        return self.prior.with_suffix(".state.safetensors")

    @property
    def log(self) -> Path:
        """A row for each validation."""
        return self.prior.with_suffix(".csv")

    @property
    def lock(self) -> Path:
        """Holds the number of the process that is training."""
        return self.prior.with_suffix(".lock")

    def check(self, *, overwrite: bool) -> None:
        """Raise early if these cannot be written; raises InputError, OutputExistsError, FormatError."""
        if self.prior.suffix != ".safetensors":
            raise InputError(f"{self.prior}: the name of a prior must end in .safetensors")
        if self.prior.is_dir():
            raise FormatError(f"{self.prior}: a folder, and will not be replaced")
        check_target(self.prior, overwrite=overwrite)
        if not self.state.exists():
            check_target(self.log, overwrite=overwrite)
        if self.lock.exists():
            with self.locked():
                pass

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other trainings away from these files; the lock of a process that has died is taken over.

        Raises
        ------
        FormatError
            If another process is training, or the lock cannot be written.
        """
        file = self._acquired()
        try:
            for path in (self.prior, self.state, self.log):  # what a process that was killed was writing
                for rest in path.parent.glob(f".{glob.escape(path.name)}.*.part{glob.escape(path.suffix)}"):
                    rest.unlink(missing_ok=True)
            yield
        finally:
            self.lock.unlink(missing_ok=True)
            file.close()

    def _acquired(self) -> TextIO:
        while True:
            try:
                file = open(self.lock, "a+", encoding="utf-8")  # noqa: SIM115 (the lock lasts as long as it is open)
            except OSError as error:
                raise FormatError(f"{self.lock}: cannot be written ({one_line(error)})") from error
            try:
                if _lock(file) and _same(file, self.lock):
                    file.truncate(0)
                    file.write(f"{os.getpid()}\n")
                    file.flush()
                    return file
                file.seek(0)
                owner = file.read().strip()
                if _same(file, self.lock):
                    raise FormatError(
                        f"{self.prior}: process {owner or 'unknown'} trains it already; let that end, or give another output"
                    )
            except OSError as error:
                file.close()
                if isinstance(error, FormatError):
                    raise
                raise FormatError(f"{self.lock}: cannot be written ({one_line(error)})") from error
            file.close()


def _lock(file: TextIO) -> bool:
    """Whether this process has the lock now; the kernel gives it back when a process ends, however it ends."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
            raise
        # a file system without locks: the process that is named in the file has it as long as it runs
        file.seek(0)
        owner = file.read().strip()
        return not (owner.isdecimal() and Path(f"/proc/{owner}").exists())
    return True


def _same(file: TextIO, path: Path) -> bool:
    """False if the file was removed, by the process that had the lock, since it was opened."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
