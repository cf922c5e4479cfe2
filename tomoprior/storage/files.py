"""Atomic outputs: a file or folder is written under a temporary name beside the target and renamed at the end."""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from tomoprior.errors import FormatError, NoSuchFileError, OutputExistsError, TomopriorError
from tomoprior.storage.lazy import one_line

#: Bytes that ``read_at_most`` reads at a time.
_PIECE = 1 << 16


@contextmanager
def replace_atomically(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, renamed to ``path`` after the block and removed if the block fails.

    A link is followed: its target is replaced, not the link.

    Raises
    ------
    OutputExistsError
        If ``path`` exists and ``overwrite`` is not set; checked before the block and again at its end.
    FormatError
        If its folder does not exist or cannot be written.
    """
    path = resolve_link(path)
    check_target(path, overwrite=overwrite)
    temporary = _temporary_path(path)
    try:
        yield temporary
        if not overwrite and path.exists():
            raise OutputExistsError(f"{path} appeared while it was being written; nothing was replaced")
        put_in_place(temporary, path)
    finally:
        remove_tree(temporary)


def put_in_place(source: Path, target: Path) -> None:
    """Move a file or folder to ``target`` or, if that is a link, to its target, and replace it; raises OSError.

    The old file stays until the new one is complete, and the new one is never visible in part.
    """
    target = resolve_link(target)
    if source.stat().st_dev != target.parent.stat().st_dev:  # a link may lead to another disk
        copy = _temporary_path(target)
        try:
            shutil.move(source, copy)
            put_in_place(copy, target)
        finally:
            remove_tree(copy)
        return
    if not (target.exists() and (source.is_dir() or target.is_dir())):
        os.replace(source, target)
        return
    # a folder cannot be replaced in one step: the old one keeps another name until the new one is in its place
    backup = source.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.old")
    os.replace(target, backup)
    try:
        os.replace(source, target)
    except BaseException:
        os.replace(backup, target)
        raise
    remove_tree(backup)


def resolve_link(path: Path) -> Path:
    """Return the target of a link, which need not exist; any other path unchanged."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else path


def _temporary_path(path: Path) -> Path:
    # the suffix stays at the end: some libraries choose the format by it
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part{path.suffix}")


def check_target(path: Path, *, overwrite: bool = False) -> None:
    """Check early that ``path`` can become an output.

    Raises
    ------
    OutputExistsError
        If it exists and ``overwrite`` is not set.
    FormatError
        If its folder does not exist or cannot be written, or it is a device or a pipe.
    """
    if "\0" in str(path):
        raise FormatError(f"{str(path)!r}: a path cannot have a NUL character in it")
    with reraise_disk_errors(path):  # no permission, or a name that is too long
        if path.exists() and not overwrite:
            raise OutputExistsError(f"{path} exists; use overwrite (--overwrite) to replace it")
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise FormatError(f"{path}: neither a file nor a folder, and will not be replaced")
        folder = path.parent
        if not folder.is_dir():
            raise NoSuchFileError(f"{folder}: no such folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FormatError(f"{folder}: no permission to write")


@contextmanager
def reraise_disk_errors(path: Path, hint: str = "") -> Iterator[None]:
    """Raise FormatError for an OSError in the block: one line with the name of the output and ``hint``."""
    try:
        yield
    except TomopriorError:
        raise
    except OSError as error:
        raise FormatError(f"{path}: cannot be written ({one_line(error)}){hint}") from error


@contextmanager
def open_atomic(path: Path, hint: str = "") -> Iterator[BinaryIO]:
    """Yield a file for writing that appears at ``path``, complete and flushed to the disk, after the block.

    A link at ``path`` is replaced, not followed.

    Raises
    ------
    FormatError
        If it cannot be written, with ``hint`` at the end; no file remains.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    with reraise_disk_errors(path, hint):
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise


def remove_tree(path: Path) -> None:
    """Remove a file, or a folder with its content, if it exists; a link is removed, not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def walk_entries(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the entries below a folder with their status; no link is followed.

    A running process may add and remove entries meanwhile.
    """
    with suppress(FileNotFoundError):
        for entry in list(os.scandir(folder)):
            with suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                yield Path(entry.path), status
                if stat.S_ISDIR(status.st_mode):
                    yield from walk_entries(Path(entry.path))


def describe_kind(mode: int) -> str | None:
    """Return what is neither a regular file nor a folder in words, from ``st_mode``; None for these two."""
    if stat.S_ISLNK(mode):
        return "a link"
    return None if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else "a pipe, a socket or a device"


def refuse_links(paths: Iterable[Path], owner: str) -> None:
    """Refuse links, pipes, sockets and devices where ``owner`` writes files or folders of its own names.

    Raises
    ------
    OutputExistsError
        For the first of them. Nothing is changed.
    """
    for path in paths:
        with suppress(FileNotFoundError):
            if kind := describe_kind(os.lstat(path).st_mode):
                raise OutputExistsError(f"{path} is {kind}, which {owner} never writes; remove it, or give another output")


def refuse_foreign_folder(folder: Path) -> None:
    """Refuse a folder that another user has put where everybody may write (``/tmp``): its owner could replace files in it.

    Raises
    ------
    OutputExistsError
        If it is such a folder. Nothing is changed.
    """
    with suppress(FileNotFoundError):
        owner, place = os.lstat(folder).st_uid, folder.absolute().parent.stat()
        if owner not in (os.geteuid(), place.st_uid) and place.st_mode & stat.S_ISVTX and place.st_mode & stat.S_IWOTH:
            raise OutputExistsError(
                f"{folder} belongs to another user (number {owner}), who could replace what is written into it; give another "
                "output"
            )


def check_entries(folder: Path, owner: str) -> None:
    """Refuse links, pipes, sockets and devices in place of a folder and at any depth below it, as ``refuse_links`` does."""
    refuse_links([folder], owner)
    refuse_links((path for path, _ in walk_entries(folder)), owner)


def read_at_most(file: BinaryIO, count: int) -> bytes:
    """Return the next bytes of a file, at most ``count``; a short file takes little memory, whatever ``count`` is."""
    pieces = []
    while count > 0 and (piece := file.read(min(count, _PIECE))):
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def companion_path(path: Path, array: str) -> Path:
    """Return the file of an array (``std``, ``determined``) beside the file of its volume; ``volume`` gives ``path`` itself."""
    return path if array == "volume" else path.with_name(f"{path.stem}_{array}{path.suffix}")


def record_path(path: Path) -> Path:
    """Return the file of the record beside the file of a volume."""
    return path.with_name(f"{path.name}.json")
