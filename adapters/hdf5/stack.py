"""From an open HDF5 file to a ``Stack``: which dataset, in which order, with which angles and fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import FormatError
from tomoprior.formats import Stack
from tomoprior.formats.angle_names import is_angle_name
from tomoprior.formats.angles import RejectedAngles, usable_angles
from tomoprior.formats.checks import check_dtype, check_shape
from tomoprior.formats.fields import normalize
from tomoprior.storage.lazy import LazyArray, TransposedArray

from ..metadata import to_stack
from .array import HDF5Array, RescaledArray, check_filters
from .axes import emd, hyperspy
from .holes import check_sources, find_holes
from .layouts import (
    Layout,
    angles_beside,
    cil,
    data_exchange,
    entries,
    fxi,
    nxtomo,
    read_angle_list,
    read_keys,
    unnamed,
)
from .outside import describe_outside_sources
from .tree import Tree, attribute, attribute_text

LINE_INTEGRALS = "line integrals"  # our own files say so; Data Exchange has no word for it
_FLAT_KEY, _DARK_KEY = 1, 2


@dataclass(frozen=True)
class Choice:
    """Options of the user for a file: names of datasets, and whether counts are normalised (None: if flats exist)."""

    dataset: str | None = None
    angles: str | None = None
    flats: str | None = None
    darks: str | None = None
    image_key: str | None = None
    normalize: bool | None = None


def read_stack(file: h5py.File, path: Any, choice: Choice) -> Stack:
    """Open the scan or the volume of a file; only metadata are read."""
    tree = Tree(file, path)
    layout = _apply_choice(tree, _find_layout(tree, choice.dataset), choice)
    source = file[layout.data]
    shape, dtype = check_shape(source.shape, path, layout.data), check_dtype(source.dtype, path, layout.data)
    check_filters(source, path)
    check_sources(source, path, layout.data)
    attrs = {key: attribute(source.attrs, key) for key in source.attrs}
    warnings = [
        *layout.warnings, *find_holes(source, path, layout.data), *describe_outside_sources(source, path, layout.data)
    ]  # fmt: skip
    if tree.broken:
        warnings.append(f"{path}: {tree.describe_broken()}")
    images = _projections(tree, layout, shape[0])
    data: LazyArray = HDF5Array(path, layout.data, shape, dtype, images)
    if layout.rescale is not None:
        data = RescaledArray(data, *layout.rescale)
    order = layout.order or _order_of_sinograms(attribute_text(source.attrs, "axes"))
    if order is not None:
        data = TransposedArray(data, order)
        first = "angle" if layout.angles or layout.order is None else "z axis"
        warnings.append(f"{path}: the axes of {layout.data} lie in another order; read with the {first} first")
    xray = layout.xray and attrs.get("values") != LINE_INTEGRALS
    data, is_normalized = _normalized(tree, layout, data, choice.normalize)
    fields = to_stack(attrs, data.shape[0], path)
    warnings = [*fields.pop("warnings"), *warnings]
    angles = _angles(tree, layout, images, shape[0], data.shape[0])
    warnings += angles.pop("notes", ())
    fields |= angles
    if layout.voxel_size is not None and "voxel_size" not in attrs:
        fields |= {"voxel_size": layout.voxel_size, "unit": layout.unit}
    fields["attrs"] = {k: v for k, v in fields["attrs"].items() if k not in ("axes", "values")} | {"dataset": layout.data}
    if is_normalized:
        fields["attrs"] |= {"normalized": "divided by the flat field", "units": "transmission"}
    return Stack(data, counts=xray or is_normalized, warnings=tuple(warnings), **fields)


def _find_layout(tree: Tree, dataset: str | None) -> Layout:
    """Return the layout of the file; with ``dataset`` the layout that has these data, or the dataset alone."""
    known = _known_layout(tree)
    if known is not None and not known.angles:  # the layout's own place for angles is empty
        known.angles = angles_beside(tree, known)
    if dataset is not None:
        if tree.dataset(dataset) is None:
            raise FormatError(f"{tree.path}: no dataset {dataset!r} in it; {tree.describe()}")
        if known is not None and known.data == dataset.strip("/"):
            return known
        layout = Layout(dataset, xray=False)
        layout.angles = angles_beside(tree, layout) if len(tree.file[dataset].shape) == 3 else []
        return layout
    known = known or unnamed(tree)
    if known is not None:
        return known
    names = [name for name, candidate in tree.datasets() if candidate.ndim == 3 and candidate.dtype.kind in "fiu"]
    what = "which dataset is meant? Say dataset=NAME (--dataset NAME)" if names else "no array with three axes in it"
    raise FormatError(f"{tree.path}: {what}; {tree.describe()}")


def _known_layout(tree: Tree) -> Layout | None:
    exchange = data_exchange(tree)
    if exchange is not None:
        return exchange
    for base in entries(tree):
        layout = cil(tree, base) or nxtomo(tree, base)
        if layout is not None:
            return layout
    return fxi(tree) or hyperspy(tree) or emd(tree)


def _apply_choice(tree: Tree, layout: Layout, choice: Choice) -> Layout:
    """Return the layout with the datasets that the user names."""
    for name in (choice.angles, choice.flats, choice.darks, choice.image_key):
        if name is not None and tree.dataset(name) is None:
            raise FormatError(f"{tree.path}: no dataset {name!r} in it; {tree.describe()}")
    if choice.angles is not None:
        layout.angles = [a for a in (read_angle_list(tree, choice.angles, layout.warnings),) if a is not None]
    if choice.flats is not None:
        layout.flats = [choice.flats]
    if choice.darks is not None:
        layout.darks = [choice.darks]
    if choice.image_key is not None:
        layout.keys = read_keys(tree, choice.image_key)
    return layout


def _projections(tree: Tree, layout: Layout, n: int) -> NDArray[np.intp] | None:
    """Return the indices of the projections among ``n`` images; None if all are projections."""
    if layout.keys is None:
        return None
    if len(layout.keys) != n:
        raise FormatError(f"{tree.path}: {len(layout.keys)} image keys for {n} images")
    images = np.flatnonzero(layout.keys == 0)
    if not len(images):
        raise FormatError(f"{tree.path}: no image in it is a projection (image key 0)")
    return images


def _angles(tree: Tree, layout: Layout, images: NDArray[np.intp] | None, n_images: int, n: int) -> dict[str, Any]:
    """Return the fields of a ``Stack`` about the angles: the first usable list, or why there is none."""
    out: dict[str, Any] = {}
    notes: list[str] = []
    for listed in layout.angles:
        values = listed.values[images] if images is not None and len(listed.values) == n_images else listed.values
        angles, rejected, lines = usable_angles(values, n, f"{tree.path}: {listed.name}", unit=listed.unit)
        notes += lines
        if angles is not None:
            assumed = "degree" if listed.unit is None else None
            return {"angles": angles, "rejected_angles": None, "assumed_angle_unit": assumed, "notes": notes}
        out.setdefault("rejected_angles", rejected)
    lost = [link for link in tree.broken if is_angle_name(link)]
    if not layout.angles and lost:
        out["rejected_angles"] = RejectedAngles(f"{tree.path}: {tree.describe_broken()}")
    return {**out, "angles": None, "notes": notes} if layout.angles or lost else {}


def _normalized(tree: Tree, layout: Layout, data: LazyArray, wanted: bool | None) -> tuple[LazyArray, bool]:
    """Return the data divided by the flat field, if that is wanted and possible."""
    flats, darks = (_fields(tree, layout, names, key) for names, key in ((layout.flats, _FLAT_KEY), (layout.darks, _DARK_KEY)))
    if wanted is False or (wanted is None and not flats):
        return data, False
    if not flats:
        raise FormatError(
            f"{tree.path}: no flat field in it, so the counts of {layout.data} cannot be normalised; name them with "
            "flats=NAME (--flats NAME)"
        )
    return normalize(data, tree.path, flats, darks), True


def _fields(tree: Tree, layout: Layout, names: list[str], key: int) -> list[LazyArray]:
    """Return the arrays of flat (or dark) images: datasets of these names, and images of the scan with this key."""
    path = tree.path
    arrays: list[LazyArray] = []
    for name in names:
        dataset = tree.file[name]
        if not dataset.size:  # some beamlines write an empty dataset where no field was taken
            continue
        check_sources(dataset, path, name)
        find_holes(dataset, path, name)
        shape = (1, *dataset.shape) if dataset.ndim == 2 else dataset.shape
        arrays.append(HDF5Array(path, name, check_shape(shape, path, name), check_dtype(dataset.dtype, path, name)))
    if layout.keys is not None and np.any(layout.keys == key):
        source = tree.file[layout.data]
        arrays.append(HDF5Array(path, layout.data, source.shape, source.dtype, np.flatnonzero(layout.keys == key)))
    return arrays


def _order_of_sinograms(axes: str) -> tuple[int, int, int] | None:
    """Return the order of axes of sinograms, which Data Exchange names as ``y:theta:x``.

    The result is None if the angle is first or no name is known.
    """
    names = [axis.strip() for axis in axes.split(":")]
    if len(names) != 3 or "theta" not in names[1:]:
        return None
    return {1: (1, 0, 2), 2: (2, 0, 1)}[names.index("theta")]
