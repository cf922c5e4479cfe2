"""Outputs are whole or absent: everything is written under a temporary name beside the target and renamed at the end."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tomoprior.errors import FormatError, OutputExistsError
from tomoprior.formats import registry
from tomoprior.formats.base import Header, Sink
from tomoprior.reconstruction import Reconstruction


@contextmanager
def replacing(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary path beside ``path`` that becomes ``path`` when the block ends well, and vanishes when it does not.

    Raises
    ------
    OutputExistsError
        If ``path`` exists and ``overwrite`` is not set; before any work and once more at the end.
    FormatError
        If its folder does not exist or cannot be written.
    """
    check_target(path, overwrite=overwrite)
    # the suffix stays at the end: some libraries choose what to write by it
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part{path.suffix}")
    try:
        yield temporary
        if not overwrite and path.exists():
            raise OutputExistsError(f"{path} appeared while it was being written; nothing was replaced")
        if temporary.is_dir() and path.exists():
            aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
            os.replace(path, aside)
            os.replace(temporary, path)
            _remove(aside)
        else:
            if path.is_dir():
                _remove(path)
            os.replace(temporary, path)
    finally:
        _remove(temporary)


def check_target(path: Path, *, overwrite: bool = False) -> None:
    """Raise early if ``path`` cannot become an output."""
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} exists; use overwrite (--overwrite) to replace it")
    folder = path.parent
    if not folder.is_dir():
        raise FormatError(f"{folder}: no such folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FormatError(f"{folder}: may not be written")


@contextmanager
def writing(path: str | Path, header: Header, *, overwrite: bool = False) -> Iterator[Sink]:
    """A sink for a volume of ``header.shape``; the file appears at ``path`` when the block ends without an error.

    Use it slab by slab: ``sink[0:nz, y0:y1, :] = slab``.
    """
    path = Path(path)
    target = registry.for_writing(path)
    with replacing(path, overwrite=overwrite) as temporary:
        try:
            sink = target.create(temporary, header)
            try:
                yield sink
            finally:
                sink.close()
        except OSError as error:
            if isinstance(error, (FormatError, OutputExistsError)):
                raise
            raise FormatError(f"{path}: cannot be written ({error.strerror or error})") from error


def write(result: Reconstruction, path: str | Path, *, overwrite: bool = False, labels: tuple[str, ...] = ()) -> None:
    """Write a reconstruction's volume, with its voxel size and unit, to the format that ``path`` names.

    The standard deviation, where there is one, goes beside it as ``NAME_std.EXT``.
    """
    result = result.numpy()
    path = Path(path)
    arrays = {path: result.volume}
    if result.std is not None:
        arrays[path.with_name(f"{path.stem}_std{path.suffix}")] = result.std
    for target, values in arrays.items():
        header = Header(
            shape=values.shape, dtype=np.float32, voxel_size=result.voxel_size, unit=result.unit, labels=labels
        )
        with writing(target, header, overwrite=overwrite) as sink:
            sink[0 : values.shape[0], 0 : values.shape[1], 0 : values.shape[2]] = values


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
