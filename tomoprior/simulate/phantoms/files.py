"""Data files of phantoms: named by the user, or in the folder of real data that the environment names."""

from __future__ import annotations

import os
from pathlib import Path

from tomoprior.errors import NoSuchFileError

#: The folder of real data; none of it is part of the package.
DATA = "TOMOPRIOR_DATA"


def find_data_file(file: Path | None, usual: str, phantom: str) -> Path:
    """Return ``file``, or ``usual`` in the folder of real data.

    Raises
    ------
    NoSuchFileError
        If the file does not exist; the message says which file to give.
    """
    if file is not None:
        if not file.is_file():
            raise NoSuchFileError(f"{file}: no such file")
        return file
    folder = os.environ.get(DATA)
    if not folder:
        raise NoSuchFileError(f"{phantom} needs a file (--file, file=), such as {Path(usual).name}, or {DATA} to name a folder")
    path = Path(folder) / usual
    if not path.is_file():
        raise NoSuchFileError(f"{phantom} needs a file (--file, file=): {path} does not exist in the folder of {DATA}")
    return path
