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
_OPENED = 64


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
        _check_source_datasets(dataset, path, name)
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
    if dataset.is_virtual:
        return _find_unmapped(dataset, path, name)
    if dataset.external or not dataset.size:
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


def _check_source_datasets(dataset: h5py.Dataset, path: Path, name: str) -> None:
    """Raise FormatError if a source file of a virtual dataset does not hold the dataset that is taken from it.

    Of many source files the first ones are opened.
    """
    pairs = sorted({(source.file_name, source.dset_name) for source in dataset.virtual_sources()})
    for file_name, source_name in pairs[:_OPENED]:
        if "%" in file_name or "%" in source_name:
            continue
        if file_name == ".":
            is_there = source_name in dataset.file
        else:
            source = next((p for p in _places(file_name, path) if p.is_file()), None)
            if source is None:
                continue
            with h5py.File(source, "r") as file:
                is_there = source_name in file
        if not is_there:
            raise FormatError(f"{path}: the values of {name} lie in {source_name} of {file_name}, which does not exist")


def _find_unmapped(dataset: h5py.Dataset, path: Path, name: str) -> list[str]:
    """Return a line that names the images of a virtual dataset that have no source, at least in part."""
    counts, image = np.zeros(dataset.shape[0], np.int64), math.prod(dataset.shape[1:])
    try:
        for source in dataset.virtual_sources():
            low, high = source.vspace.get_select_bounds()
            # a source covers all of its images alike, as where each file holds a tilt or some tilts
            counts[low[0] : high[0] + 1] += source.vspace.get_select_npoints() // (high[0] - low[0] + 1)
    except Exception:  # a selection without end, which grows with its source
        return []
    lacking = np.flatnonzero(counts < image)
    if not len(lacking):
        return []
    listed = ", ".join(map(str, lacking[:_LISTED])) + (", ..." if len(lacking) > _LISTED else "")
    return [f"{path}: {len(lacking)} images of {name} have no source for all of their values, and zeros in place ({listed})"]


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
    """Return whether HDF5 would find the file."""
    return any(p.exists() for p in _places(name, path))


def _places(name: str, path: Path) -> tuple[Path, ...]:
    """Return where HDF5 looks for a file: at its path, beside the main file, or by its name alone beside it."""
    source = Path(name)
    return source, path.parent / source, path.parent / source.name
