"""Reading small text files that people and microscopes write, with errors that name the line."""

from __future__ import annotations

import math
from pathlib import Path

from tomoprior.errors import FormatError, NoSuchFileError
from tomoprior.formats.raw import readable_bytes

#: No side file of a tilt series is larger; a stack that was given by mistake is not read whole.
MAX_BYTES = 16 << 20


def read_text(path: Path) -> str:
    """The text of a side file.

    Raises
    ------
    FormatError
        If there is none, or it is not text.
    """
    if not path.exists():
        raise NoSuchFileError(f"{path}: no such file")
    raw = readable_bytes(path, MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise FormatError(f"{path}: larger than {MAX_BYTES >> 20} MB, which no file of angles or shifts is")
    if b"\0" in raw:
        raise FormatError(f"{path}: not a text file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")  # a micron sign from a microscope's computer


def number(word: str, path: Path, place: int | str) -> float:
    """A finite number; FormatError naming the line if ``word`` is not one."""
    where = f"line {place}" if isinstance(place, int) else place
    try:
        value = float(word.replace("_", "?"))  # Python's 1_000 is no one's angle
    except ValueError:
        hint = " (decimal comma?)" if "," in word else ""
        raise FormatError(f"{path}: {where} holds {word.strip()[:40]!r}, which is not a number{hint}") from None
    if not math.isfinite(value):
        raise FormatError(f"{path}: {where} holds {word.strip()}, which is not a finite number")
    return value
