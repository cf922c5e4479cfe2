"""The installed format of a path."""

from __future__ import annotations

from pathlib import Path

from tomoprior import plugins
from tomoprior.errors import FormatError, NoSuchFileError
from tomoprior.formats.addresses import address_of
from tomoprior.formats.base import Format

GROUP = "tomoprior.formats"


def get(name: str) -> Format:
    """Return the format called ``name``.

    Raises
    ------
    UnknownNameError
        If no installed format has that name.
    """
    return plugins.load(GROUP, name)()  # type: ignore[no-any-return]


def for_reading(path: Path) -> Format:
    """Return the format of an existing file or folder, by its content first and its name second.

    Parameters
    ----------
    path
        The file or folder; its first bytes are read. An address (``https://``, ``s3://``) is that of a Zarr store.

    Returns
    -------
    Format
        If no format recognises the content, the format that the name selects, whose reader describes the defect.

    Raises
    ------
    FormatError
        If there is no such file (``NoSuchFileError``), or neither its content nor its name fits a format.
    """
    if address_of(path) is not None:
        return get("zarr")
    try:
        if not path.exists():
            raise NoSuchFileError(f"{path}: no such file")
        if not (path.is_file() or path.is_dir()):
            raise FormatError(f"{path}: neither a file nor a folder")  # a read from a pipe could wait for ever
        own = _format_of_ending(path)
        if own is not None and own.matches(path):
            return own
        formats = [get(name) for name in plugins.names(GROUP)]
        # formats whose extension fits come first, so that a plug-in with a loose test cannot claim the files of another format
        named = [f for f in formats if path.name.lower().endswith(f.extensions)]
        for candidate in (*named, *(f for f in formats if f not in named)):
            if candidate.matches(path):
                return candidate
    except FormatError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL character
        raise FormatError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if named:
        return named[0]  # its reader describes the defect best
    raise FormatError(f"{path}: not a file that can be read (known: {_known(formats)})")


def for_writing(path: Path) -> Format:
    """Return the format that the extension of an output selects.

    Parameters
    ----------
    path
        The output, which need not exist.

    Raises
    ------
    NoSuchFileError
        If no format has the extension.
    """
    formats = [f for f in map(get, plugins.names(GROUP)) if not getattr(f, "is_read_only", False)]
    for candidate in formats:
        if path.name.lower().endswith(candidate.extensions):
            return candidate
    raise NoSuchFileError(f"{path}: the name must end in one of {_known(formats)}")


def _format_of_ending(path: Path) -> Format | None:
    """Return the format that is called like the ending of a path, mrc for ``.mrc``; the libraries of others are not loaded."""
    ending = path.suffix.lower().removeprefix(".")
    for name in plugins.names(GROUP):
        if len(ending) > 2 and (name.startswith(ending) or ending.startswith(name)):
            own = get(name)
            return own if path.name.lower().endswith(own.extensions) else None
    return None


def _known(formats: list[Format]) -> str:
    return ", ".join(sorted({e for f in formats for e in f.extensions}))
