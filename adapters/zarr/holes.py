"""Images of a Zarr array of which no chunk was ever written: Zarr reads them as the fill value, without an error."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

_LISTED = 8
_MAX_IMAGES = 1 << 20  # a longer axis belongs to no tilt series, and its images are not listed


def find_missing_images(array: Any, path: Path) -> list[str]:
    """Return a line that names the images without any chunk; nothing if there are none, or the store is no folder.

    A chunk that holds only the fill value is not stored, so that one missing chunk means nothing; a projection without a
    single chunk in an array that has others was most likely never written. A volume may well be empty at its faces.
    """
    root = getattr(getattr(array, "store", None), "root", None)
    if root is None or array.ndim != 3 or array.shape[0] > _MAX_IMAGES:
        return []
    folder = Path(root) / array.path
    depth = int((array.shards or array.chunks)[0])
    in_version_3 = (folder / "zarr.json").is_file()
    present = _stored_rows(folder / "c", r"(\d+)") if in_version_3 else _stored_rows(folder, r"(\d+)(\..*)?")
    n = -(-array.shape[0] // depth)
    missing = [i for i in range(n) if i not in present] if present else []
    if not missing:
        return []
    ranges = [f"{i * depth}" if depth == 1 else f"{i * depth}-{min((i + 1) * depth, array.shape[0]) - 1}" for i in missing]
    listed = ", ".join(ranges[:_LISTED]) + (", ..." if len(ranges) > _LISTED else "")
    return [f"{path}: no chunk of the images {listed} was ever written; they are read as {array.fill_value}"]


def _stored_rows(folder: Path, pattern: str) -> set[int]:
    """Return the indices along the first axis that have a chunk, from the names in a folder."""
    try:
        names = os.listdir(folder)
    except OSError:
        return set()
    rows = ((int(match[1]), folder / name) for name in names if (match := re.fullmatch(pattern, name)) and len(match[1]) < 10)
    return {row for row, place in rows if _holds_a_file(place)}


def _holds_a_file(place: Path) -> bool:
    """Return whether a chunk is there: the file itself, or one in the folders of this name, which may be left over."""
    return not place.is_dir() or any(files for _, _, files in os.walk(place))
