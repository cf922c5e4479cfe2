"""Electron microscopy in HDF5: files that describe each axis of an array, EMD (tomviz, Berkeley) and HyperSpy.

Sources: the EMD specification 0.2 (emdatasets.com); HyperSpy's file format ``.hspy`` and etspy's ``metadata.Tomography``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from tomoprior.formats.angle_names import is_angle_name
from tomoprior.formats.angle_units import parse_angle_unit
from tomoprior.units import parse_size, parse_unit

from .layouts import AngleList, Layout, axes_order
from .tree import Tree, attribute, attribute_text


@dataclass(frozen=True)
class Axis:
    """One axis of an array: its name, its unit as the file writes it, and its coordinates."""

    name: str
    unit: str
    values: NDArray[np.float64]

    @property
    def is_tilt(self) -> bool:
        """True if the axis counts tilts."""
        unit = parse_angle_unit(self.unit)
        in_whole_units = unit.name is not None and unit.factor == 1  # milliradians are those of diffraction
        return is_angle_name(self.name) or self.name.strip().lower() == "alpha" or in_whole_units


def emd(tree: Tree) -> Layout | None:
    """Return the layout of an EMD group: ``data`` with ``dim1``, ``dim2``, ``dim3`` beside it.

    The result is None if there is no such group, or more than one.
    """
    groups = [name.removesuffix("/data") for name, dataset in tree.datasets() if _is_emd(tree, name, dataset)]
    if len(groups) != 1:
        return None
    name = f"{groups[0]}/data"
    shape = tree.file[name].shape
    axes = []
    for i, n in enumerate(shape, 1):
        dim = f"{groups[0]}/dim{i}"
        attrs = tree.file[dim].attrs
        axes.append(Axis(attribute_text(attrs, "name"), attribute_text(attrs, "units"), _complete(tree.values(dim), n)))
    return layout_of_axes(name, axes, tree.path)


def hyperspy(tree: Tree) -> Layout | None:
    """Return the layout of a signal of HyperSpy with three axes; None if there is none, or more than one."""
    if attribute_text(tree.file.attrs, "file_format") != "HyperSpy":
        return None
    experiments = tree.group("Experiments")
    names = [f"Experiments/{n}" for n in experiments or () if _has_volume(tree, f"Experiments/{n}/data")]
    if len(names) != 1:
        return None
    axes = []
    for i, n in enumerate(tree.file[f"{names[0]}/data"].shape):
        group = tree.group(f"{names[0]}/axis-{i}")
        attrs = group.attrs if group is not None else {}
        scale, offset = (attribute(attrs, key) if key in attrs else None for key in ("scale", "offset"))
        step = scale if isinstance(scale, (int, float)) else 1.0
        start = offset if isinstance(offset, (int, float)) else 0.0
        axes.append(Axis(attribute_text(attrs, "name"), attribute_text(attrs, "units"), start + step * np.arange(float(n))))
    layout = layout_of_axes(f"{names[0]}/data", axes, tree.path)
    tilts = _tilts_of_etspy(tree, f"{names[0]}/metadata/Tomography")
    if tilts is not None:
        layout.angles.insert(0, tilts)
    return layout


def layout_of_axes(name: str, axes: list[Axis], path: Path) -> Layout:
    """Return the layout of an array whose axes are known: the tilt axis goes first, a volume is turned to z, y, x."""
    layout = Layout(name, xray=False)
    tilt = next((i for i, axis in enumerate(axes) if axis.is_tilt), None)
    labels = [axis.name.strip().lower() for axis in axes]
    if tilt is not None:
        stated = parse_angle_unit(axes[tilt].unit, axes[tilt].name)
        layout.angles = [AngleList(stated.convert(axes[tilt].values), stated.name, f"{name} (its axis)")]
        layout.warnings += stated.describe(f"{path}: its axis of tilts", "degree")
        labels[tilt] = "tilt"
        wanted = ["tilt", "y", "x"]
    else:
        wanted = ["z", "y", "x"]
    if sorted(labels) == sorted(wanted):
        layout.order = axes_order(labels, wanted)
    elif tilt is not None:
        others = [i for i in range(3) if i != tilt]
        layout.order = None if tilt == 0 else (tilt, others[0], others[1])
    at = (2 if layout.order is None else layout.order[2]) if tilt != 2 or layout.order is not None else 1
    steps = np.diff(axes[at].values[:2])
    size = parse_size(abs(float(steps[0]))) if len(steps) else None
    unit = parse_unit(axes[at].unit.strip().strip("[]").replace("_", ""))
    if size is not None and unit is not None:
        layout.voxel_size, layout.unit = size, unit
    return layout


def _tilts_of_etspy(tree: Tree, group: str) -> AngleList | None:
    """Return ``metadata.Tomography.tilts`` in degrees, stored as a dataset or as an attribute."""
    name = tree.first(f"{group}/tilts", f"{group}/_tilts", f"{group}/_list_tilts")
    if name is not None:
        return AngleList(tree.values(name), "degree", name)
    where = tree.group(group)
    value = attribute(where.attrs, "tilts") if where is not None and "tilts" in where.attrs else None
    if isinstance(value, list) and value and all(isinstance(v, (int, float)) for v in value):
        return AngleList(np.array(value, np.float64), "degree", f"{group}/tilts")
    return None


def _is_emd(tree: Tree, name: str, dataset: h5py.Dataset) -> bool:
    group = name.removesuffix("/data")
    return (
        name.endswith("/data")
        and _has_volume(tree, name)
        and all(tree.dataset(f"{group}/dim{i}") is not None and tree.file[f"{group}/dim{i}"].ndim == 1 for i in (1, 2, 3))
    )


def _has_volume(tree: Tree, name: str) -> bool:
    dataset = tree.dataset(name)
    return dataset is not None and dataset.ndim == 3 and dataset.dtype.kind in "fiu"


def _complete(values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return the coordinates of an axis of ``n``; EMD may store only the first two of an even axis."""
    if len(values) == 2 and n > 2:
        return np.asarray(values[0] + (values[1] - values[0]) * np.arange(n), dtype=np.float64)
    return values
