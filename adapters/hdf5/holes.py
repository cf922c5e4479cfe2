"""Values that an HDF5 file promises and does not have: HDF5 itself reads them as zeros, without an error."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tomoprior.errors import FormatError

_MAX_CHUNKS = 1 << 24  # more are not listed one by one
_LISTED = 8


def check_sources(dataset: h5py.Dataset, path: Path, name: str) -> None:
    """Raise FormatError if the values of a virtual or external dataset lie in files that do not exist."""
    if dataset.is_virtual:
        sources = {source.file_name for source in dataset.virtual_sources()} - {"."}
        missing = sorted(s for s in sources if "%" not in s and not _exists(s, path))
        if missing:
            listed = ", ".join(missing[:_LISTED]) + (", ..." if len(missing) > _LISTED else "")
            raise FormatError(
                f"{path}: {len(missing)} of the {len(sources)} files that hold the values of {name} are missing: {listed}"
            )
    for file_name, _, _ in dataset.external or ():
        if not _exists(file_name, path):
            raise FormatError(f"{path}: the file that holds the values of {name} is missing: {file_name}")


def find_holes(dataset: h5py.Dataset, path: Path, name: str) -> list[str]:
    """Return lines that name the images of which parts were never written.

    Raises
    ------
    FormatError
        If the dataset has no values at all.
    """
    if dataset.is_virtual or dataset.external or not dataset.size:
        return []
    if dataset.chunks is None:
        if dataset.id.get_storage_size() == 0:
            raise FormatError(f"{path}: no value of {name} was ever written")
        return []
    along_axes = [math.ceil(n / c) for n, c in zip(dataset.shape, dataset.chunks, strict=True)]
    expected, present = math.prod(along_axes), dataset.id.get_num_chunks()
    if present >= expected:
        return []
    if not present:
        raise FormatError(f"{path}: no value of {name} was ever written")
    line = f"{path}: {expected - present} of {expected} chunks of {name} were never written and are read as zeros"
    return [line + _images(dataset, along_axes)] if expected <= _MAX_CHUNKS else [line]


def _images(dataset: h5py.Dataset, along_axes: list[int]) -> str:
    """Return the images that lack chunks, for a message."""
    counts = np.zeros(along_axes[0], np.int64)
    depth = dataset.chunks[0]

    def count(chunk: Any) -> None:
        at = chunk.chunk_offset[0] // depth
        if at < len(counts):
            counts[at] += 1

    dataset.id.chunk_iter(count)
    lacking = np.flatnonzero(counts < math.prod(along_axes[1:]))
    ranges = [f"{i * depth}" if depth == 1 else f"{i * depth}-{min((i + 1) * depth, dataset.shape[0]) - 1}" for i in lacking]
    return f" (images {', '.join(ranges[:_LISTED])}{', ...' if len(ranges) > _LISTED else ''})"


def _exists(name: str, path: Path) -> bool:
    """Return whether HDF5 would find the file: at its path, beside the main file, or by its name alone beside it."""
    source = Path(name)
    return any(p.exists() for p in (source, path.parent / source, path.parent / source.name))
