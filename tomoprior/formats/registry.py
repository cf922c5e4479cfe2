"""Which installed format a path belongs to."""

from __future__ import annotations

from pathlib import Path

from tomoprior import plugins
from tomoprior.errors import FormatError
from tomoprior.formats.base import Format

GROUP = "tomoprior.formats"


def get(name: str) -> Format:
    """The format called ``name``."""
    return plugins.load(GROUP, name)()  # type: ignore[no-any-return]


def for_reading(path: Path) -> Format:
    """The format that an existing file or folder is in, by its content first and its name second.

    Raises
    ------
    FormatError
        If there is no such file, or no format knows it.
    """
    if not path.exists():
        raise FormatError(f"{path}: no such file")
    formats = [get(name) for name in plugins.names(GROUP)]
    # those whose extension fits are asked first, so that a plug-in cannot take another's files by a loose test
    formats.sort(key=lambda f: not path.name.lower().endswith(f.extensions))
    for candidate in formats:
        if candidate.matches(path):
            return candidate
    extensions = sorted({e for f in formats for e in f.extensions})
    raise FormatError(f"{path}: not a file that can be read (known: {', '.join(extensions)})")


def for_writing(path: Path) -> Format:
    """The format that an output's name asks for; FormatError if none does."""
    formats = [get(name) for name in plugins.names(GROUP)]
    for candidate in formats:
        if path.name.lower().endswith(candidate.extensions):
            return candidate
    extensions = sorted({e for f in formats for e in f.extensions})
    raise FormatError(f"{path}: the name must end in one of {', '.join(extensions)}")
