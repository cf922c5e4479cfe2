"""What a run has done so far, on the disk: a folder beside the output, with a record for every slab that is safe."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tomoprior.errors import FormatError, InputError, OutputExistsError
from tomoprior.storage.files import open_atomic, reraise_disk_errors, resolve_link
from tomoprior.storage.lazy import one_line
from tomoprior.storage.locking import exclusive_lock

#: What the folder is called: the output's name and this.
SUFFIX = ".partial"

#: What a user is told where the disk fails.
GO_ON = "; --resume goes on from what is there"

#: Of the record's layout.
VERSION = 1


class Journal:
    """The folder of an unfinished output.

    ``run.json`` says what is being done, ``slabs/NUMBER.json`` that a slab is done; each appears whole or not at all, the
    latter after the slab's data are on the disk.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        real = resolve_link(out)  # on the disk where the output is to be
        self.folder = real.with_name(real.name + SUFFIX)

    @property
    def run(self) -> dict[str, Any] | None:
        """What ``begin`` was given, or None before."""
        try:
            found = json.loads((self.folder / "run.json").read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            path = self.folder / "run.json"
            raise FormatError(f"{path}: cannot be read ({one_line(error)}); --overwrite begins anew") from error
        return found if isinstance(found, dict) else None

    def begin(self, identity: Mapping[str, Any]) -> None:
        """Note what the run is; the folder must be new."""
        with reraise_disk_errors(self.folder):
            (self.folder / "slabs").mkdir(exist_ok=True)
        write_json(self.folder / "run.json", {"version": VERSION, **identity})

    def done(self) -> dict[int, dict[str, Any]]:
        """Records of the slabs that are safe, by number."""
        found = {}
        for path in sorted((self.folder / "slabs").glob("*.json")):
            with suppress(ValueError):  # a broken record is none
                found[int(path.stem)] = json.loads(path.read_text())
        return found

    def commit(self, number: int, record: Mapping[str, Any]) -> None:
        """Say that a slab's data are safe."""
        write_json(self.folder / "slabs" / f"{number:05d}.json", record)

    def check(self, identity: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> None:
        """Hold a run against the one that was begun, or against ``before``.

        Raises
        ------
        InputError
            For the first thing that is not the same, with both values.
        """
        before = (self.run or {}) if before is None else before
        for name, value in identity.items():
            earlier, now = before.get(name), json.loads(json.dumps(value))
            if earlier == now:
                continue
            where = name
            if isinstance(earlier, dict) and isinstance(now, dict):
                key = next(k for k in {**earlier, **now} if earlier.get(k) != now.get(k))
                where, earlier, now = f"{name}: {key}", earlier.get(key), now.get(key)
            raise InputError(
                f"{self.out} was begun with another {where} ({_short(earlier)}, now {_short(now)}); give what it was begun "
                "with, or --overwrite to begin anew"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the folder for this process, which may end in any way.

        Raises
        ------
        OutputExistsError
            If another process has it.
        FormatError
            If it cannot be made.
        """
        with exclusive_lock(
            self.folder / "lock", lambda owner: OutputExistsError(f"{self.out} is being written by {owner}"), host=True
        ):
            try:
                yield
            finally:
                if not (self.folder / "run.json").exists():  # nothing was begun, or all is done: no trace is left
                    self.remove()

    def clear(self) -> None:
        """Remove all but the lock, so that a run can begin."""
        for path in self.folder.iterdir():
            if path.name != "lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def remove(self) -> None:
        """Remove the folder, nothing in it being wanted any more; ``run.json`` last, so that a kill leaves what can be told."""
        if not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name not in ("run.json", "lock"):
                path.unlink(missing_ok=True)
        (self.folder / "run.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """A file that appears whole, and is on the disk when this returns; raises FormatError if it cannot be written."""
    with open_atomic(path, GO_ON) as file:
        file.write((json.dumps(values, indent=1) + "\n").encode())


def digest(values: Any) -> str:
    """SHA-256 of plain values or an array's bytes, in hexadecimal."""
    if hasattr(values, "tobytes"):
        return hashlib.sha256(repr((values.shape, str(values.dtype))).encode() + values.tobytes()).hexdigest()
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:24] + "..."
