"""The folder of a comparison: the report, and ``runs/LABEL`` with the finished parts of each method.

Every part is written whole and carries the digest of the input and settings that it belongs to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.comparison.result import Comparison
from tomoprior.errors import FormatError, OutputExistsError
from tomoprior.formats import write
from tomoprior.formats.writing import replace_atomically
from tomoprior.reconstruction import Reconstruction
from tomoprior.storage.files import check_entries, refuse_foreign_folder, refuse_links, remove_tree, reraise_disk_errors
from tomoprior.storage.locking import exclusive_lock
from tomoprior.storage.records import load_json

#: This file marks the folder of a comparison.
MARK = ".tomoprior-compare"
#: The name of a temporary folder that holds the input of the subprocesses starts with this.
DATA = ".data-"
#: Parts that take a reconstruction.
PARTS = ("tuned", "reconstruction", "held_out", "planted", "halves")


class Store:
    """The finished parts of one method, in ``folder``; parts with another digest count as absent."""

    def __init__(self, folder: Path, digest: str) -> None:
        self.folder, self.digest = folder, digest

    def get(self, name: str) -> dict[str, Any] | None:
        """Return a part, or None."""
        record = self._read(name)
        if record is None or record.get("digest") != self.digest:
            return None
        value = record.get("value")
        return value if isinstance(value, dict) else None

    def put(self, name: str, value: dict[str, Any]) -> None:
        """Save a part, which holds plain values."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with replace_atomically(self.folder / f"{name}.json", overwrite=True) as temporary:
            temporary.write_text(json.dumps({"digest": self.digest, "value": value}) + "\n", encoding="utf-8")

    def put_array(self, name: str, array: NDArray[np.float32]) -> None:
        """Save an array; save the part that refers to it afterwards."""
        save_array(self.folder / f"{name}.npy", array)

    def array(self, name: str) -> NDArray[np.float32]:
        """Load an array; raises OSError or ValueError if it is missing or broken."""
        return np.asarray(np.load(self.folder / f"{name}.npy", allow_pickle=False), np.float32)

    def finished_parts(self) -> list[str]:
        """Return the names of the parts that this digest already has."""
        return [name for name in PARTS if self.get(name) is not None]

    def remove_others(self) -> None:
        """Remove the parts that belong to another digest."""
        for name in (*PARTS, "outcome"):
            record = self._read(name)
            if record is not None and record.get("digest") != self.digest:
                (self.folder / f"{name}.json").unlink(missing_ok=True)

    def other_settings(self) -> dict[str, Any] | None:
        """Return the settings of results with another digest (empty if unknown), or None if there are none."""
        records = {name: record for name in (*PARTS, "outcome") if (record := self._read(name)) is not None}
        if not any(record.get("digest") != self.digest for record in records.values()):
            return None
        value = records.get("outcome", {}).get("value")
        settings = value.get("settings") if isinstance(value, dict) else None
        return settings if isinstance(settings, dict) else {}

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            return load_json(self.folder / f"{name}.json")
        except FormatError:
            return None


def save_array(path: Path, array: NDArray[np.float32]) -> None:
    """Write an array to ``path``, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_atomically(path, overwrite=True) as temporary:
        np.save(temporary, array, allow_pickle=False)


@contextmanager
def lock_folder(out: Path) -> Iterator[Path]:
    """Create and lock the folder of a comparison; gives ``OUT/runs``, the folder for the stores.

    Raises
    ------
    OutputExistsError
        If ``out`` is a file, or holds files but no comparison, or has links in the place of its own files.
    FormatError
        If the folder cannot be written, or another process uses it.
    """
    runs = out / "runs"
    with reraise_disk_errors(out):
        if out.exists() and not out.is_dir():
            raise OutputExistsError(f"{out} is a file; a comparison goes into a folder")
        if out.is_dir() and any(out.iterdir()) and not (out / MARK).exists():
            raise OutputExistsError(f"{out} holds something else than a comparison; give another folder")
        refuse_foreign_folder(out)
        refuse_links([out / MARK], "a comparison")
        check_entries(runs, "a comparison")
        out.mkdir(parents=True, exist_ok=True)
        (out / MARK).touch()
        runs.mkdir(exist_ok=True)
    with exclusive_lock(
        runs / "lock", lambda owner: FormatError(f"{out}: {owner} compares there; let it end first"), host=True
    ):
        for leftover in runs.glob(f"{DATA}*"):  # a killed run leaves its input
            remove_tree(leftover)
        yield runs


def check_earlier_results(out: Path, stores: dict[str, tuple[Store, dict[str, Any]]]) -> None:
    """Raise OutputExistsError if the comparison in ``out`` holds results that this one would replace.

    Parameters
    ----------
    out
        Folder of the comparison.
    stores
        For each label the store and the settings before tuning.
    """
    advice = "give another folder, or --overwrite (overwrite=True) to replace"
    for label, (store, settings) in stores.items():
        earlier = store.other_settings()
        if earlier is None:
            continue
        changed = [f"{name} {earlier[name]}" for name, value in settings.items() if earlier.get(name, value) != value]
        why = f"other settings ({', '.join(changed)})" if changed else "other data or options, or of another version"
        raise OutputExistsError(f"{out} holds results of {label} with {why}; {advice} them")
    missing = [label for label in _reported_labels(out) if label not in stores]
    if missing:
        raise OutputExistsError(f"the report in {out} also covers {', '.join(missing)}; name them too, {advice} it")


def _reported_labels(out: Path) -> list[str]:
    """Return the labels in the report in ``out``."""
    try:
        return [str(entry["label"]) for entry in load_json(out / "metrics.json")["entries"]]
    except (FormatError, KeyError, TypeError):
        return []


def write_outputs(result: Comparison, out: Path, volumes: str | None) -> None:
    """Write the report, and the volumes in the format ``volumes`` unless it is None; raises FormatError."""
    from tomoprior.comparison.report import write_report

    write_report(result, out, overwrite=True)
    if volumes is None:
        return
    folder = out / "volumes"
    refuse_links([folder, *(folder / f"{entry.label}.{volumes}" for entry in result.done)], "a comparison")
    folder.mkdir(exist_ok=True)
    for entry in result.done:
        reconstruction = Reconstruction(
            entry.volume, result.geometry, entry.std, provenance={"method": entry.method, "settings": dict(entry.settings)}
        )
        write(reconstruction, folder / f"{entry.label}.{volumes}", overwrite=True)
