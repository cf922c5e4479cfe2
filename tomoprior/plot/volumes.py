"""Planes to draw, from a caller's arrays, tensors, reconstructions and arrays in files."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import InputError
from tomoprior.storage.lazy import to_numpy
from tomoprior.units import check_positive_size, unit_symbol

Floats = NDArray[np.float64]
#: x-y as (y, x), x-z as (z, x), z-y as (y, z): rows grow downwards, columns to the right
Planes = tuple[Floats, Floats, Floats]


@dataclass(frozen=True, eq=False)
class PlotVolume:
    """A volume to plot.

    Attributes
    ----------
    label
        Title of its column.
    array, std
        ``(nz, ny, nx)``, indexed plane by plane: an array in a file is read only where it is shown.
    voxel
        Edge of a voxel and its unit; None if they are unknown.
    """

    label: str
    array: Any
    std: Any = None
    voxel: tuple[float, str] | None = None


def to_plot_volume(item: Any, label: str) -> PlotVolume:
    """Return an array, a tensor or an object with a ``volume`` for a plot; raises InputError unless it has three axes."""
    array, std, voxel = item, None, None
    if hasattr(item, "volume") and not callable(item.volume):
        array, std = item.volume, getattr(item, "std", None)
        unit = getattr(item, "unit", "pixel")
        voxel = None if unit == "pixel" else (check_positive_size(item.voxel_size), unit_symbol(unit))
        label = label or str(getattr(item, "provenance", {}).get("method", ""))
    if not hasattr(array, "shape"):
        try:
            array = np.asarray(array)
        except ValueError:  # lists of different lengths
            raise InputError(f"{_name_of(label)} must be an array, got {type(item).__name__}") from None
    if len(array.shape) != 3 or 0 in array.shape:
        raise InputError(f"{_name_of(label)} needs three axes (z, y, x) with a voxel or more, got shape {tuple(array.shape)}")
    return PlotVolume(label, array, std, voxel)


def label_volumes(volumes: Any) -> list[PlotVolume]:
    """Return all volumes with their labels; raises InputError unless they have one shape."""
    if not isinstance(volumes, Mapping):
        return [to_plot_volume(volumes, "")]
    if not volumes:
        raise InputError("there is no volume to show")
    items = [to_plot_volume(v, str(label)) for label, v in volumes.items()]
    for other in items[1:]:
        check_shape(other, items[0])
    return items


def check_shape(volume: PlotVolume, first: PlotVolume) -> None:
    """Raise InputError unless both have one shape."""
    shape, expected = tuple(volume.array.shape), tuple(first.array.shape)
    if shape != expected:
        raise InputError(f"{_name_of(volume.label)} has shape {shape}, {_name_of(first.label)} {expected}")


def common_voxel(volumes: Iterable[PlotVolume]) -> tuple[float, str] | None:
    """Return the common voxel size and unit, None if no volume has one; raises InputError if they differ."""
    known = [(v.label, *v.voxel) for v in volumes if v.voxel is not None]
    for label, edge, unit in known[1:]:
        first, other, name = known[0]
        if unit != name or not np.isclose(edge, other, rtol=1e-3):
            raise InputError(f"voxels of {edge:.6g} {unit} ({label}) and of {other:.6g} {name} ({first}) in one picture")
    return known[0][1:] if known else None


def check_point(at: Any, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return ``(z, y, x)``, by default the middle of the volume; raises InputError if it lies outside."""
    if at is None:
        return shape[0] // 2, shape[1] // 2, shape[2] // 2
    try:
        z, y, x = (operator.index(i) for i in at)
    except (TypeError, ValueError):
        raise InputError(f"at must be three whole numbers (z, y, x), got {at!r}") from None
    for name, i, n in zip("zyx", (z, y, x), shape, strict=True):
        if not 0 <= i < n:
            raise InputError(f"{name} = {i} does not exist: there are {n} planes, counted from 0")
    return z, y, x


def cut_planes(array: Any, at: tuple[int, int, int], label: str) -> Planes:
    """Return the three planes through ``at``; raises InputError for values that are no real numbers, or all not finite."""
    z, y, x = at
    items = tuple(_numbers(array[key], label) for key in ((z,), (slice(None), y), (slice(None), slice(None), x)))
    if not any(np.isfinite(image).any() for image in items):
        raise InputError(f"{_name_of(label)} has no finite value in the planes shown")
    return items[0], items[1], items[2].T


def _numbers(part: Any, label: str) -> Floats:
    if hasattr(part, "detach"):
        part = part.detach().cpu()
        part = part.float() if part.is_floating_point() else part  # NumPy has no bfloat16
    part = to_numpy(part)
    if part.dtype.kind not in "fiub":
        raise InputError(f"{_name_of(label)} must hold real numbers, got dtype {part.dtype}")
    return np.asarray(part, np.float64)


def _name_of(label: str) -> str:
    return label or "the volume"
