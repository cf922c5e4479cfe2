"""The folder of an unfinished run beside the output, with a record for every slab that is safe on the disk."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import Any

from tomoprior.errors import FormatError, InputError, OutputExistsError
from tomoprior.running.slabs.plan import Slab
from tomoprior.running.slabs.records import VERSION, RunRecord, SlabRecord, read_record, write_record
from tomoprior.storage.digest import compute_digest
from tomoprior.storage.files import (
    check_entries,
    companion_path,
    record_path,
    refuse_foreign_folder,
    reraise_disk_errors,
    resolve_link,
    walk_entries,
)
from tomoprior.storage.locking import exclusive_lock

#: The folder has the output's name with this appended.
SUFFIX = ".partial"

#: Arrays that a run may write: the volume, and those beside it.
ARRAYS = ("volume", "std", "determined")

#: Names in the folder besides those of the outputs.
NAMES = {
    "run.json", "lock", "slabs", "borders", "pilot", "determined.npy", "projections.npy", "weights.npy", "initial.npy",
    "mask.npy",
}  # fmt: skip

#: Names inside two of the folders.
INNER_NAMES = {"slabs": re.compile(r"[0-9]{5,9}\.json"), "borders": re.compile(r"[a-z]+-[0-9]{6,9}-(low|high)\.npy")}

#: Temporary files: ``.NAME.01234567``, with or without an ending.
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}(\.part.*|\.old)?")


class Journal:
    """The folder of an unfinished output.

    ``run.json`` holds the arguments of the run, ``slabs/NUMBER.json`` the record of a finished slab. Each appears whole or not
    at all, the latter after the slab's data are on the disk.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        real = resolve_link(out)  # the folder lies on the disk of the output
        self.folder = real.with_name(real.name + SUFFIX)
        self._identity: tuple[int, int] | None = None

    @property
    def run(self) -> dict[str, Any] | None:
        """Arguments of the run, or None before ``begin``; raises FormatError if the record is damaged."""
        try:
            record = read_record(self.folder / "run.json", RunRecord)
        except FileNotFoundError:
            return None
        except FormatError as error:
            raise FormatError(f"{error}; remove {self.folder} to begin anew") from error
        return None if record.discarded else record.plain()

    def begin(self, identity: Mapping[str, Any]) -> None:
        """Write the arguments of the run."""
        write_record(self.folder / "run.json", {"program": "tomoprior", "version": VERSION, **identity})
        with reraise_disk_errors(self.folder):
            (self.folder / "slabs").mkdir(exist_ok=True)

    def done(self, slabs: Sequence[Slab] | None = None) -> dict[int, dict[str, Any]]:
        """Return the records of the finished slabs by number.

        A damaged record does not count. With ``slabs``, neither does a record of other rows.
        """
        expected = None if slabs is None else {slab.number: [slab.start, slab.stop] for slab in slabs}
        records = {}
        for path in sorted((self.folder / "slabs").glob("*.json")):
            if not re.fullmatch(r"[0-9]{1,9}", path.stem):
                continue
            with suppress(FormatError, FileNotFoundError):
                record = read_record(path, SlabRecord).plain()
                if expected is None or expected.get(int(path.stem)) == record["rows"]:
                    records[int(path.stem)] = record
        return records

    def commit(self, number: int, record: Mapping[str, Any]) -> None:
        """Record that a slab's data are safe on the disk."""
        write_record(self.folder / "slabs" / f"{number:05d}.json", record)

    def check(self, identity: Mapping[str, Any], earlier_run: Mapping[str, Any] | None = None) -> None:
        """Compare a run with the unfinished one, or with ``earlier_run``.

        Raises
        ------
        InputError
            For the first difference, with both values.
        """
        recorded = (self.run or {}) if earlier_run is None else earlier_run
        for name, value in identity.items():
            earlier, now = recorded.get(name), json.loads(json.dumps(value))
            if earlier == now:
                continue
            where = name
            if isinstance(earlier, dict) and isinstance(now, dict):
                key = next(k for k in {**earlier, **now} if k not in earlier or k not in now or earlier[k] != now[k])
                where, earlier, now = f"{name}: {key}", earlier.get(key), now.get(key)
            raise InputError(
                f"{self.out} was started with another {where} ({_short(earlier)}, now {_short(now)}); use the same value, or "
                "--overwrite to begin anew"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Reserve the folder for this process; the lock ends with the process.

        Raises
        ------
        OutputExistsError
            If another process uses it, or tomoprior did not create it.
        FormatError
            If it cannot be created.
        """
        self.check_owner()
        with exclusive_lock(
            self.folder / "lock", lambda owner: OutputExistsError(f"{self.out} is being written by {owner}"), host=True
        ):
            self.check_owner()  # the folder may have been replaced meanwhile
            self._check_second_names()
            self._identity = _identify(self.folder)
            try:
                yield
            finally:
                with suppress(FormatError, OutputExistsError):
                    if self.run is None:  # no run was started, or the run is finished: leave no trace
                        self.remove()

    def check_owner(self) -> None:
        """Refuse a folder that this program did not make, one with foreign files, and links in the place of our files.

        Nothing is changed. A folder is ours if it is empty, or holds our run record and only names that a run writes.

        Raises
        ------
        OutputExistsError
            With the names of foreign entries.
        FormatError
            If the folder cannot be read.
        """
        with reraise_disk_errors(self.folder):
            self._check_owner()

    def _check_owner(self) -> None:
        try:
            mode = os.lstat(self.folder).st_mode
        except FileNotFoundError:
            return
        if S_ISLNK(mode) or not S_ISDIR(mode):
            kind = "a link" if S_ISLNK(mode) else "not a folder"
            raise OutputExistsError(f"{self.folder} is {kind} and is left as it is; move it, or give another output")
        refuse_foreign_folder(self.folder)
        check_entries(self.folder, "a run")
        names = sorted(entry.name for entry in os.scandir(self.folder))
        foreign = [name for name in names if not self.owns(name)]
        for name, pattern in INNER_NAMES.items():
            inner = sorted((self.folder / name).glob("*"))
            foreign += [f"{name}/{path.name}" for path in inner if not pattern.fullmatch(_final_name(path.name))]
        if not foreign and not self._has_record():
            foreign = [
                name for name in names if name != "lock" and not (name != "run.json" and _final_name(name) == "run.json")
            ]
        if foreign:
            listed = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
            raise OutputExistsError(
                f"{self.folder} is not the folder of an unfinished run, or holds foreign files ({listed}): it is left as it "
                "is; move it, or give another output"
            )

    def _check_second_names(self) -> None:
        """Refuse files with another name outside the folder (hard links), as of a backup: the run would change that file too.

        Raises
        ------
        OutputExistsError
            With the first such file.
        """
        files = [(path, status) for path, status in walk_entries(self.folder) if S_ISREG(status.st_mode)]
        names = Counter(status.st_ino for _, status in files)  # a start that was killed may leave two names inside
        for path, status in files:
            if status.st_nlink > names[status.st_ino]:
                raise OutputExistsError(
                    f"{path} has a second name elsewhere (hard link), and the run would change that file too; replace it by a "
                    "copy, or give another output"
                )

    def _has_record(self) -> bool:
        try:
            read_record(self.folder / "run.json", RunRecord)
        except (FileNotFoundError, FormatError):
            return False
        return True

    def owns(self, name: str) -> bool:
        """Return whether a run may write an entry of this name into the folder."""
        name = _final_name(name)
        outputs = {companion_path(Path(self.out.name), array).name for array in ARRAYS} | {
            record_path(Path(self.out.name)).name
        }
        return name in NAMES | outputs or re.fullmatch(r"new-[0-9a-f]{8}", name) is not None

    def clear(self) -> None:
        """Remove the data of an earlier run, so that a new one can begin; a kill at any time leaves a folder that is ours."""
        if self.folder.joinpath("run.json").exists():
            write_record(self.folder / "run.json", {"program": "tomoprior", "version": VERSION, "discarded": True})
        self._remove_entries(keep={"run.json", "lock"})

    def remove(self) -> None:
        """Remove the folder, ``run.json`` last; entries that are not ours stay."""
        if not self.folder.is_dir():
            return
        self._remove_entries(keep={"run.json", "lock"})
        with self._opened() as folder:
            for name in ("run.json", "lock"):
                _remove_entry(name, folder)
        with suppress(OSError):  # a foreign file came meanwhile
            self.folder.rmdir()

    def _remove_entries(self, keep: set[str]) -> None:
        with self._opened() as folder:
            for entry in list(os.scandir(folder)):
                if entry.name not in keep and self.owns(entry.name):
                    _remove_entry(entry.name, folder)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Yield a descriptor of the folder, so that nothing is removed from another one that takes its name."""
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if self._identity not in (None, _identify(folder)):
                raise OutputExistsError(f"{self.folder} has been replaced by another folder, which is left as it is")
            yield folder
        finally:
            os.close(folder)


def digest(values: Any) -> str:
    """Return the SHA-256 of plain values, or of an array with its shape and type, in hexadecimal."""
    if hasattr(values, "tobytes"):
        return compute_digest(repr((values.shape, str(values.dtype))).encode(), values)
    return compute_digest(values)


def _identify(folder: Path | int) -> tuple[int, int]:
    """Return device and number of a folder, which it keeps when it is renamed."""
    status = os.fstat(folder) if isinstance(folder, int) else os.lstat(folder)
    return status.st_dev, status.st_ino


def _remove_entry(name: str, folder: int) -> None:
    """Remove an entry of an open folder, if it exists; a link is removed, not followed."""
    with suppress(FileNotFoundError):
        if S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            shutil.rmtree(name, ignore_errors=True, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)


def _final_name(name: str) -> str:
    """Return the name that a temporary file would get in the end."""
    match = _TEMPORARY.fullmatch(name)
    final = match[1] if match else name
    return final if re.fullmatch(r"new-[0-9a-f]{8}", final) else final.removeprefix("new-")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:24] + "..."
