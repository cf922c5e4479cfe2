"""Where the layouts of X-ray tomography keep things in an HDF5 file: Data Exchange and NXtomo.

Sources: De Carlo et al., "Scientific data exchange", J. Synchrotron Rad. 21 (2014); the NeXus application definition NXtomo.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import FormatError
from tomoprior.units import parse_size, parse_unit

_SMALL = 1 << 24  # values; more than any list of angles or keys has


@dataclass
class Layout:
    """Names of the datasets and what is known about them."""

    data: str
    flats: list[str] = field(default_factory=list)
    darks: list[str] = field(default_factory=list)
    keys: NDArray[np.int64] | None = None  #: NXtomo: 0 a projection, 1 a flat field, 2 a dark field
    angles: NDArray[np.float64] | None = None  #: radians, of all images in ``data``
    voxel_size: float | None = None
    unit: str = "pixel"
    xray: bool = True  #: counts or transmissions
    warnings: list[str] = field(default_factory=list)


def find(file: h5py.File, path: Path, dataset: str | None) -> Layout:
    """Find the data: the dataset that was asked for, or Data Exchange, or NXtomo, or the only array with three axes."""
    if dataset is not None:
        if _dataset(file, dataset) is None:
            raise FormatError(f"{path}: no dataset {dataset!r} in it; there are {_listed(file)}")
        if dataset.strip("/") != "exchange/data":
            return Layout(dataset, xray=False)
    if _dataset(file, "exchange/data") is not None:
        return _data_exchange(file, path)
    for base in _entries(file):
        layout = _nxtomo(file, base, path)
        if layout is not None:
            return layout
    candidates = [name for name, found in _datasets(file) if len(found.shape) == 3 and found.dtype.kind in "fiu"]
    if len(candidates) == 1:
        return Layout(
            candidates[0], xray=False, warnings=[f"{path}: neither Data Exchange nor NXtomo; {candidates[0]} was read"]
        )
    what = "which dataset is meant? Say dataset=NAME" if candidates else "no array with three axes in it"
    raise FormatError(f"{path}: {what}; there are {_listed(file)}")


def text(value: Any) -> str:
    """An HDF5 attribute as text; empty if it is none."""
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) if value is not None else ""


def _data_exchange(file: h5py.File, path: Path) -> Layout:
    layout = Layout("exchange/data")
    layout.flats = [n for n in ("exchange/data_white",) if _dataset(file, n) is not None]
    layout.darks = [n for n in ("exchange/data_dark",) if _dataset(file, n) is not None]
    layout.angles = _angles(file, "exchange/theta", layout, path)
    _pixel_size(file, ("measurement/instrument/detector", "measurement/instrument/detection_system", "exchange"), layout)
    return layout


def _nxtomo(file: h5py.File, base: str, path: Path) -> Layout | None:
    data = _first(file, base, ("instrument/detector/data", "data/data", "data/data/data"))
    keys = _first(file, base, ("instrument/detector/image_key", "data/image_key", "instrument/detector/image_key_control"))
    turned = _first(file, base, ("sample/rotation_angle", "data/rotation_angle"))
    if data is None or (keys is None and turned is None):
        return None
    layout = Layout(data)
    if keys is not None:
        layout.keys = _small(file, keys).astype(np.int64)
    if turned is not None:
        layout.angles = _angles(file, turned, layout, path)
    # the size in the plane of the sample, where it is given, goes before that of the detector's own pixels
    _pixel_size(file, (f"{base}/sample", f"{base}/instrument/detector"), layout)
    return layout


def _entries(file: h5py.File) -> list[str]:
    names = [name for name in file if isinstance(file.get(name), h5py.Group)]
    entries = [n for n in names if n.startswith("entry") or text(file[n].attrs.get("NX_class")) == "NXentry"]
    return [b for n in entries for b in (f"{n}/tomo_entry", n) if isinstance(_get(file, b), h5py.Group)]


def _angles(file: h5py.File, name: str, layout: Layout, path: Path) -> NDArray[np.float64] | None:
    dataset = _dataset(file, name)
    if dataset is None:
        return None
    values = _small(file, name)
    unit = text(dataset.attrs.get("units", dataset.attrs.get("unit"))).strip().lower()
    if unit.startswith("rad"):
        return values
    if unit and not unit.startswith(("deg", "°")):
        layout.warnings.append(f"{path}: the unit {unit!r} of {name} is unknown; taken as degrees")
    return np.deg2rad(values)


def _pixel_size(file: h5py.File, groups: tuple[str, ...], layout: Layout) -> None:
    for group in groups:
        for name in ("x_pixel_size", "pixel_size_x", "pixel_size"):
            dataset = _dataset(file, f"{group}/{name}")
            if dataset is None or dataset.size != 1:
                continue
            size = parse_size(np.asarray(dataset[()]).reshape(-1)[0])
            unit = parse_unit(text(dataset.attrs.get("units", dataset.attrs.get("unit"))))
            if size is not None and unit is not None:
                layout.voxel_size, layout.unit = size, unit
                return


def _small(file: h5py.File, name: str) -> NDArray[np.float64]:
    dataset = file[name]
    if dataset.size > _SMALL:
        raise FormatError(f"{file.filename}: {name} has {dataset.size} values, which cannot be right")
    return np.asarray(dataset[()], dtype=np.float64).reshape(-1)


def _first(file: h5py.File, base: str, names: tuple[str, ...]) -> str | None:
    return next((f"{base}/{n}" for n in names if _dataset(file, f"{base}/{n}") is not None), None)


def _get(file: h5py.File, name: str) -> Any:
    try:
        return file.get(name)  # links may lead nowhere
    except (KeyError, OSError, RuntimeError, ValueError):
        return None


def _dataset(file: h5py.File, name: str) -> h5py.Dataset | None:
    found = _get(file, name)
    return found if isinstance(found, h5py.Dataset) and found.shape is not None else None


def _datasets(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    names: list[str] = []
    file.visit(names.append)
    for name in names:
        found = _dataset(file, name)
        if found is not None:
            yield name, found


def _listed(file: h5py.File) -> str:
    names = [f"{name} {tuple(found.shape)}" for name, found in _datasets(file)]
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "no datasets"
