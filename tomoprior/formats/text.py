"""Small text files that people and microscopes write, and errors that name the line."""

from __future__ import annotations

import math
from pathlib import Path

from tomoprior.errors import FormatError, NoSuchFileError
from tomoprior.formats.raw import readable_bytes

#: No side file of a tilt series is larger; a stack that is named by mistake is not read whole.
MAX_BYTES = 16 << 20


def read_text(path: Path) -> str:
    """Return the text of a side file, in UTF-8, UTF-16 (as Windows writes it) or Latin-1.

    Parameters
    ----------
    path
        The file; it is read whole.

    Raises
    ------
    FormatError
        If there is no such file, or it is not text.
    """
    if not path.exists():
        raise NoSuchFileError(f"{path}: no such file")
    raw = readable_bytes(path, MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise FormatError(f"{path}: larger than {MAX_BYTES >> 20} MB, which no file of angles or shifts is")
    encoding = _utf16(raw)
    if encoding is not None:
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            raise FormatError(f"{path}: not a text file") from None
        if "\0" in text:
            raise FormatError(f"{path}: not a text file")
        return text
    if b"\0" in raw:
        raise FormatError(f"{path}: not a text file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")  # a micron sign from a microscope's computer


def number(word: str, path: Path, place: int | str) -> float:
    """Return ``word`` as a finite number.

    Parameters
    ----------
    word
        Text of the number.
    path, place
        The file, and a line number (or words) that says where in it the number is, for the message.

    Raises
    ------
    FormatError
        If it is not a finite number.
    """
    where = f"line {place}" if isinstance(place, int) else place
    try:
        value = float(word.replace("_", "?"))  # Python reads 1_000, which nobody writes for an angle
    except ValueError:
        hint = " (decimal comma?)" if "," in word else ""
        raise FormatError(f"{path}: {where} holds {word.strip()[:40]!r}, which is not a number{hint}") from None
    if not math.isfinite(value):
        raise FormatError(f"{path}: {where} holds {word.strip()}, which is not a finite number")
    return value


def _utf16(raw: bytes) -> str | None:
    """Return the name of the UTF-16 encoding of these bytes, or None for any other text.

    The encoding shows by its mark or by a zero in every second byte.
    """
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    if len(raw) >= 4 and len(raw) % 2 == 0:
        if not any(raw[1::2]) and all(raw[::2]):
            return "utf-16-le"
        if not any(raw[::2]) and all(raw[1::2]):
            return "utf-16-be"
    return None
