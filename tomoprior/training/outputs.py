"""Files of a training, and the lock that lets only one training write them at a time."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tomoprior.errors import FormatError, InputError
from tomoprior.storage.files import check_target, refuse_links
from tomoprior.storage.locking import exclusive_lock


@dataclass(frozen=True)
class Outputs:
    """The file of the prior, and the files in its folder during the training."""

    prior: Path

    @property
    def state(self) -> Path:
        """State from which an interrupted training continues."""
        return self.prior.with_suffix(".state.safetensors")

    @property
    def log(self) -> Path:
        """Log, with a row for each validation."""
        return self.prior.with_suffix(".csv")

    @property
    def lock(self) -> Path:
        """Lock, with the number of the training process."""
        return self.prior.with_suffix(".lock")

    def check(self, *, overwrite: bool) -> None:
        """Check early that the files can be written; raises InputError, OutputExistsError, FormatError."""
        if self.prior.suffix != ".safetensors":
            raise InputError(f"{self.prior}: the name of a prior must end in .safetensors")
        if self.prior.is_dir():
            raise FormatError(f"{self.prior}: a folder, which is not replaced")
        check_target(self.prior, overwrite=overwrite)
        refuse_links([self.state, self.log], "a training")
        if not self.state.exists():
            check_target(self.log, overwrite=overwrite)
        if self.lock.exists():
            with self.locked():
                pass

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other trainings away from these files; the lock of a dead process is taken over.

        Raises
        ------
        FormatError
            If another process is training, or the lock cannot be written.
        OutputExistsError
            If the state or the log is a link.
        """
        with exclusive_lock(self.lock, self._refused):
            refuse_links([self.state, self.log], "a training")
            for path in (self.prior, self.state, self.log):  # parts that a killed process was writing
                for rest in path.parent.glob(f".{glob.escape(path.name)}.*.part{glob.escape(path.suffix)}"):
                    rest.unlink(missing_ok=True)
            yield

    def _refused(self, owner: str) -> FormatError:
        return FormatError(f"{self.prior}: {owner} trains it already; wait for its end, or give another output")
