"""Outputs are whole or absent: everything is written under a temporary name beside the target and renamed at the end."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from tomoprior.errors import FormatError, NoSuchFileError, OutputExistsError, TomopriorError
from tomoprior.storage.lazy import one_line


@contextmanager
def replace_atomically(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary path beside ``path`` that becomes ``path`` when the block ends well, and vanishes when it does not.

    A link is followed: what it leads to is replaced, not the link.

    Raises
    ------
    OutputExistsError
        If ``path`` exists and ``overwrite`` is not set; before any work and once more at the end.
    FormatError
        If its folder does not exist or cannot be written.
    """
    path = resolve_link(path)
    check_target(path, overwrite=overwrite)
    temporary = _temporary(path)
    try:
        yield temporary
        if not overwrite and path.exists():
            raise OutputExistsError(f"{path} appeared while it was being written; nothing was replaced")
        put_in_place(temporary, path)
    finally:
        remove_tree(temporary)


def put_in_place(made: Path, target: Path) -> None:
    """Move a file or folder to ``target``, a link being followed, and replace what is there; raises OSError.

    What is replaced is there until the new one is, and the new one is never there in part.
    """
    target = resolve_link(target)
    if made.stat().st_dev != target.parent.stat().st_dev:  # a link may lead to another disk
        near = _temporary(target)
        try:
            shutil.move(made, near)
            put_in_place(near, target)
        finally:
            remove_tree(near)
        return
    if not (target.exists() and (made.is_dir() or target.is_dir())):
        os.replace(made, target)
        return
    # a folder cannot be replaced in one step: the old one stands aside until the new one is in its place
    aside = made.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.old")
    os.replace(target, aside)
    try:
        os.replace(made, target)
    except BaseException:
        os.replace(aside, target)
        raise
    remove_tree(aside)


def resolve_link(path: Path) -> Path:
    """Where a link leads, which may not be there yet; any other path as it is."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else path


def _temporary(path: Path) -> Path:
    # the suffix stays at the end: some libraries choose what to write by it
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part{path.suffix}")


def check_target(path: Path, *, overwrite: bool = False) -> None:
    """Raise early if ``path`` cannot become an output.

    Raises
    ------
    OutputExistsError
        If it exists and ``overwrite`` is not set.
    FormatError
        If its folder does not exist or cannot be written, or it is a device or a pipe.
    """
    if "\0" in str(path):
        raise FormatError(f"{str(path)!r}: a path cannot have a NUL character in it")
    with reraise_disk_errors(path):  # no permission to look, or a name that is too long
        if path.exists() and not overwrite:
            raise OutputExistsError(f"{path} exists; use overwrite (--overwrite) to replace it")
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise FormatError(f"{path}: neither a file nor a folder, and will not be replaced")
        folder = path.parent
        if not folder.is_dir():
            raise NoSuchFileError(f"{folder}: no such folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FormatError(f"{folder}: may not be written")


@contextmanager
def reraise_disk_errors(path: Path, hint: str = "") -> Iterator[None]:
    """Errors of the disk as one line that names the output, with ``hint`` after it; raises FormatError."""
    try:
        yield
    except TomopriorError:
        raise
    except OSError as error:
        raise FormatError(f"{path}: cannot be written ({one_line(error)}){hint}") from error


@contextmanager
def open_atomic(path: Path, hint: str = "") -> Iterator[BinaryIO]:
    """A file to write to that appears whole at ``path``, and is on the disk, when the block ends well.

    Raises
    ------
    FormatError
        If it cannot be written, with ``hint`` after it; nothing is left then.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    with reraise_disk_errors(path, hint):
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise


def remove_tree(path: Path) -> None:
    """A file, or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def companion_path(path: Path, array: str) -> Path:
    """The file of an array (``std``, ``determined``) that belongs to a volume's; that of ``volume`` is the volume's own."""
    return path if array == "volume" else path.with_name(f"{path.stem}_{array}{path.suffix}")


def record_path(path: Path) -> Path:
    """The file of a volume's record."""
    return path.with_name(f"{path.name}.json")
