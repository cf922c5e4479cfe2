"""The folder of a comparison: its report and figures, and ``runs``, from which it goes on."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tomoprior.comparison.result import Comparison
from tomoprior.errors import FormatError, OutputExistsError
from tomoprior.formats import write
from tomoprior.lazy import one_line
from tomoprior.reconstruction import Reconstruction

#: Lies in every folder of a comparison, and tells that it is one; locked by the process that works there.
MARK = ".tomoprior-compare"


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
    try:
        if out.exists() and not out.is_dir():
            raise OutputExistsError(f"{out} is a file; a comparison goes into a folder")
        if out.is_dir() and any(out.iterdir()) and not (out / MARK).exists():
            raise OutputExistsError(f"{out} holds something else than a comparison; give another folder")
        runs = out / "runs"
        runs.mkdir(parents=True, exist_ok=True)
        mark = (out / MARK).open("a")
    except OSError as error:
        if isinstance(error, FormatError | OutputExistsError):
            raise
        raise FormatError(f"{out}: cannot be written ({one_line(error)})") from error
    with mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FormatError(f"{out}: another process compares there; let it end, or give another folder") from None
        yield runs


def written(result: Comparison, out: Path, volumes: str | None) -> None:
    """The report with what lies beside it, and the volumes if they are asked for; raises FormatError."""
    from tomoprior.comparison.report import write_report

    made = {path.resolve() for path in write_report(result, out, overwrite=True)}
    for old in (out / "figures").glob("*.png"):  # of what is no longer compared
        if old.resolve() not in made:
            old.unlink()
    if volumes is None:
        return
    folder = out / "volumes"
    folder.mkdir(exist_ok=True)
    for entry in result.done:
        one = Reconstruction(
            entry.volume, result.geometry, entry.std, provenance={"method": entry.method, "settings": dict(entry.settings)}
        )
        write(one, folder / f"{entry.label}.{volumes}", overwrite=True)
