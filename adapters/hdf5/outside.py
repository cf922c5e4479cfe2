"""Values that an HDF5 file takes from other files: a file from elsewhere can point to any file that its reader may open."""

from __future__ import annotations

from pathlib import Path

import h5py

_LISTED = 8


def describe_outside_sources(dataset: h5py.Dataset, path: Path, name: str) -> list[str]:
    """Return a line about raw storage in other files, and one about HDF5 files outside the folder of ``path``."""
    lines = []
    raw = sorted({str(file_name) for file_name, _, _ in dataset.external or ()})
    if raw:
        lines.append(f"{path}: the values of {name} are raw bytes of other files: {_list(raw)}")
    linked = [dataset.file.filename] if dataset.file.filename != str(path) else []
    if dataset.is_virtual:
        linked += [source.file_name for source in dataset.virtual_sources() if source.file_name != "."]
    folder = path.resolve().parent
    away = sorted({str(source) for source in linked if not (folder / source).resolve().is_relative_to(folder)})
    if away:
        lines.append(f"{path}: the values of {name} come from files outside its folder: {_list(away)}")
    return lines


def _list(names: list[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
