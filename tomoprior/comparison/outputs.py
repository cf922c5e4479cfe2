"""The folder of a comparison: its report and figures, and ``runs``, from which it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tomoprior.comparison.result import Comparison
from tomoprior.errors import FormatError, OutputExistsError
from tomoprior.formats import write
from tomoprior.reconstruction import Reconstruction
from tomoprior.storage.files import remove_tree, reraise_disk_errors
from tomoprior.storage.locking import exclusive_lock

#: Lies in every folder of a comparison, and tells that it is one.
MARK = ".tomoprior-compare"
#: How the folders begin in which the data of a run lie for its processes, while it lasts.
DATA = ".data-"


@contextmanager
def at_work(out: Path) -> Iterator[Path]:
    """The folder for the contestants' parts, ``OUT/runs``; nobody else works in ``out`` meanwhile.

    Raises
    ------
    OutputExistsError
        If ``out`` holds something else than a comparison.
    FormatError
        If it cannot be made or written, or another process is at work there.
    """
    runs = out / "runs"
    with reraise_disk_errors(out):
        if out.exists() and not out.is_dir():
            raise OutputExistsError(f"{out} is a file; a comparison goes into a folder")
        if out.is_dir() and any(out.iterdir()) and not (out / MARK).exists():
            raise OutputExistsError(f"{out} holds something else than a comparison; give another folder")
        out.mkdir(parents=True, exist_ok=True)
        (out / MARK).touch()
        runs.mkdir(exist_ok=True)
    with exclusive_lock(
        runs / "lock", lambda owner: FormatError(f"{out}: {owner} compares there; let it end first"), host=True
    ):
        for left in runs.glob(f"{DATA}*"):  # by a run that was killed
            remove_tree(left)
        yield runs


def written(result: Comparison, out: Path, volumes: str | None) -> None:
    """The report with what lies beside it, and the volumes if they are asked for; raises FormatError."""
    from tomoprior.comparison.report import write_report

    write_report(result, out, overwrite=True)
    if volumes is None:
        return
    folder = out / "volumes"
    folder.mkdir(exist_ok=True)
    for entry in result.done:
        one = Reconstruction(
            entry.volume, result.geometry, entry.std, provenance={"method": entry.method, "settings": dict(entry.settings)}
        )
        write(one, folder / f"{entry.label}.{volumes}", overwrite=True)
