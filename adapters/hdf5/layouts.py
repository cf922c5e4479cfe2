"""Places of data, fields and angles in the HDF5 layouts of X-ray tomography.

Sources: De Carlo et al., "Scientific data exchange", J. Synchrotron Rad. 21 (2014); the NeXus application definition NXtomo;
the files that NSLS-II's FXI and the Core Imaging Library (CIL) write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import FormatError
from tomoprior.formats.angle_names import is_angle_name
from tomoprior.formats.angle_units import parse_angle_unit
from tomoprior.formats.fields import is_dark_name, is_flat_name
from tomoprior.units import parse_size, parse_unit

from .tree import Tree, attribute, attribute_text

_PROJECTION, _ALIGNMENT, _INVALID = 0, -1, 3

#: Names of fields in Data Exchange, the usual one first; beamlines take them before and after the scan.
_WHITE = ("data_white", "data_white_pre", "data_white_post", "data_flat")
_DARK = ("data_dark", "data_dark_pre", "data_dark_post")


@dataclass(frozen=True)
class AngleList:
    """Numbers that a file holds for its tilts, with their unit where the file states it, and the name of their place."""

    values: NDArray[np.float64]
    unit: str | None
    name: str


@dataclass
class Layout:
    """Names of the datasets of a scan, and what the file says about them."""

    data: str
    flats: list[str] = field(default_factory=list)
    darks: list[str] = field(default_factory=list)
    keys: NDArray[np.int64] | None = None  #: NXtomo: 0 a projection, 1 a flat field, 2 a dark field, 3 invalid
    angles: list[AngleList] = field(default_factory=list)  #: of all images in ``data``; the best list first
    order: tuple[int, int, int] | None = None  #: axes of ``data`` that are ours, if they are not 0, 1, 2
    rescale: tuple[float, float] | None = None  #: scale and offset of the stored numbers: ``stored = value * scale + offset``
    voxel_size: float | None = None
    unit: str = "pixel"
    xray: bool = True  #: counts or transmissions
    warnings: list[str] = field(default_factory=list)


def read_angle_list(tree: Tree, name: str, warnings: list[str]) -> AngleList | None:
    """Return the angles in a dataset, or None; a unit that is unknown is a warning."""
    if tree.dataset(name) is None:
        return None
    unit = parse_angle_unit(tree.unit(name), name)
    warnings += unit.describe(f"{tree.path}: {name}", "degree")
    return AngleList(unit.convert(tree.values(name)), unit.name, name)


def data_exchange(tree: Tree) -> Layout | None:
    """Return the layout of Data Exchange: the scan under ``exchange``, with flat and dark fields beside it."""
    if tree.dataset("exchange/data") is None:
        return None
    layout = Layout("exchange/data")
    layout.flats = [f"exchange/{n}" for n in _WHITE if tree.dataset(f"exchange/{n}") is not None]
    layout.darks = [f"exchange/{n}" for n in _DARK if tree.dataset(f"exchange/{n}") is not None]
    _add_fields_beside(tree, layout)
    angles = read_angle_list(tree, "exchange/theta", layout.warnings)
    layout.angles = [a for a in (angles, _rotation_of_tomoscan(tree)) if a is not None]
    groups = ("measurement/instrument/detector", "measurement/instrument/detection_system", "exchange")
    _read_pixel_size(tree, groups, layout)
    return layout


def nxtomo(tree: Tree, base: str) -> Layout | None:
    """Return the layout of an NXtomo scan: projections and fields in one dataset, distinguished by image keys."""
    names = ("instrument/detector/data", "data/data", "data/data/data", "instrument/sample/data")
    data = tree.first(*(f"{base}/{n}" for n in names))
    keys = tree.first(f"{base}/instrument/detector/image_key", f"{base}/data/image_key")
    control = tree.first(f"{base}/instrument/detector/image_key_control", f"{base}/data/image_key_control")
    rotation = tree.first(f"{base}/sample/rotation_angle", f"{base}/data/rotation_angle")
    if data is None or (keys is None and control is None and rotation is None):
        return None
    layout = Layout(data)
    if keys is not None or control is not None:
        layout.keys = read_keys(tree, keys or control or "", control)
        moved = int(np.count_nonzero(layout.keys == _INVALID))
        if moved:
            layout.warnings.append(f"{tree.path}: {moved} images are return frames or invalid by their key; not used")
    layout.flats = [n for n in (f"{base}/instrument/bright_field/data",) if tree.dataset(n) is not None]
    layout.darks = [n for n in (f"{base}/instrument/dark_field/data",) if tree.dataset(n) is not None]
    if rotation is not None:
        layout.angles = [a for a in (read_angle_list(tree, rotation, layout.warnings),) if a is not None]
    # the size in the plane of the sample, where the file has it, comes before that of the detector's own pixels
    _read_pixel_size(tree, (f"{base}/sample", f"{base}/instrument/detector"), layout)
    return layout


def read_keys(tree: Tree, name: str, control: str | None = None) -> NDArray[np.int64]:
    """Return the image keys of a scan.

    Frames that the control key marks as alignment (ESRF's return frames, -1) are invalid.
    """
    with np.errstate(invalid="ignore"):
        keys = tree.values(name).astype(np.int64)
        marks = tree.values(control).astype(np.int64) if control is not None else keys
    keys = np.where(keys == _ALIGNMENT, _INVALID, keys)
    if len(marks) == len(keys):
        keys = np.where((marks == _ALIGNMENT) & (keys == _PROJECTION), _INVALID, keys)
    return np.where((keys < 0) | (keys > _INVALID), _INVALID, keys)


def fxi(tree: Tree) -> Layout | None:
    """Return the layout of a scan of NSLS-II's FXI: ``img_tomo`` with ``img_bkg``, ``img_dark`` and ``angle`` at the root."""
    if tree.dataset("img_tomo") is None or tree.dataset("angle") is None:
        return None
    layout = Layout("img_tomo")
    layout.flats = [n for n in ("img_bkg",) if tree.dataset(n) is not None]
    layout.darks = [n for n in ("img_dark",) if tree.dataset(n) is not None]
    layout.angles = [a for a in (read_angle_list(tree, "angle", layout.warnings),) if a is not None]
    return layout


def cil(tree: Tree, base: str) -> Layout | None:
    """Return the layout of a file of CIL's NEXUSDataWriter: acquisition data or a volume, perhaps packed into whole numbers."""
    name = f"{base}/data/data"
    data = tree.dataset(name)
    kind = "" if data is None else attribute_text(data.attrs, "data_type")
    if data is None or kind not in ("AcquisitionData", "ImageData"):
        return None
    if attribute_text(data.attrs, "geometry") == "cone":
        raise FormatError(f"{tree.path}: a scan with a cone beam; only parallel beams can be reconstructed")
    layout = Layout(name, xray=False)
    scale, offset = (attribute(data.attrs, key) for key in ("scale", "offset"))
    if scale is not None or offset is not None:
        layout.rescale = _check_rescale(scale, offset, tree)
    labels = [attribute_text(data.attrs, f"dim{i}") for i in range(3)]
    wanted = ["angle", "vertical", "horizontal"] if kind == "AcquisitionData" else ["vertical", "horizontal_y", "horizontal_x"]
    if sorted(labels) == sorted(wanted):
        layout.order = axes_order(labels, wanted)
    angles = read_angle_list(tree, f"{base}/config/angles", layout.warnings)
    if angles is not None:
        first = attribute(tree.file[angles.name].attrs, "initial_angle")
        shift = float(first) if isinstance(first, (int, float)) else 0.0
        layout.angles = [AngleList(angles.values + shift, angles.unit, angles.name)]
    size = parse_size(attribute(data.attrs, "pixel_size_h" if kind == "AcquisitionData" else "voxel_size_x"))
    if size is not None and size != 1:
        layout.warnings.append(f"{tree.path}: its pixel size of {size:g} has no unit; taken as 1 pixel")
    return layout


def axes_order(labels: Sequence[str], wanted: Sequence[str]) -> tuple[int, int, int] | None:
    """Return the order that brings axes with these labels into the wanted one; None if they have it already."""
    order = (labels.index(wanted[0]), labels.index(wanted[1]), labels.index(wanted[2]))
    return None if order == (0, 1, 2) else order


def entries(tree: Tree) -> list[str]:
    """Return the groups that may hold an NXtomo scan, NXentry groups and their ``tomo_entry``."""
    groups = [n for n in tree.file if isinstance(tree.get(n), h5py.Group)]
    named = [n for n in groups if n.startswith("entry") or attribute_text(tree.file[n].attrs, "NX_class") == "NXentry"]
    return [base for n in named for base in (f"{n}/tomo_entry", n) if tree.group(base) is not None]


def unnamed(tree: Tree) -> Layout | None:
    """Return the layout of a file of an unknown kind with one array of images; None if there are more, or none.

    Arrays whose names say that they are flat or dark fields are no choice. Angles are the array beside the images, or else
    anywhere, that has a usual name and a value for each image.
    """
    images = [
        n for n, d in tree.datasets() if d.ndim == 3 and d.dtype.kind in "fiu" and not (is_flat_name(n) or is_dark_name(n))
    ]
    if len(images) != 1:
        return None
    layout = Layout(images[0], xray=False)
    layout.warnings = [f"{tree.path}: neither Data Exchange nor NXtomo; {images[0]} was read"]
    _add_fields_beside(tree, layout)
    layout.angles = angles_beside(tree, layout)
    return layout


def angles_beside(tree: Tree, layout: Layout) -> list[AngleList]:
    """Return the lists of a usual name for angles with a value for each image, those in the group of the images first."""
    n, group = tree.file[layout.data].shape[0], _group_of(layout.data)
    names = [
        m for m, d in tree.datasets() if is_angle_name(m) and d.ndim == 1 and d.shape[0] == n > 1 and d.dtype.kind in "fiu"
    ]
    names.sort(key=lambda name: (_group_of(name) != group, name))
    return [a for a in (read_angle_list(tree, name, layout.warnings) for name in names) if a is not None]


def _add_fields_beside(tree: Tree, layout: Layout) -> None:
    """Add arrays in the group of the images whose names say that they are flat or dark fields, and say so."""
    known = {layout.data, *layout.flats, *layout.darks}
    group, shape = _group_of(layout.data), tree.file[layout.data].shape
    members = tree.file[group or "/"]
    for member in sorted(members):
        name = f"{group}/{member}" if group else member
        dataset = None if name in known else tree.dataset(name)
        if dataset is None or dataset.ndim not in (2, 3) or dataset.shape[-2:] != shape[-2:] or dataset.dtype.kind not in "fiu":
            continue
        for kind, is_kind, fields in (("flat", is_flat_name, layout.flats), ("dark", is_dark_name, layout.darks)):
            if is_kind(name):
                fields.append(name)
                layout.warnings.append(f"{tree.path}: {name} is taken as {kind} fields, by its name")
                break


def _group_of(name: str) -> str:
    return name.strip("/").rpartition("/")[0]


def _rotation_of_tomoscan(tree: Tree) -> AngleList | None:
    """Return the angles of APS's tomoscan, which may store only the start, the step and the number of tilts."""
    base = "process/acquisition/rotation"
    if tree.group(base) is None:
        return None

    def number(*names: str) -> float | None:
        return next((v for v in (tree.number(f"{base}/{n}") for n in names) if v is not None), None)

    start, step = number("rotation_start", "start"), number("rotation_step", "step")
    n = number("num_angles")
    count = tree.file["exchange/data"].shape[0] if n is None else n
    if start is None or step is None or not 0 < count <= 1 << 24:
        return None
    return AngleList(np.asarray(start + step * np.arange(int(count)), np.float64), "degree", f"{base} (start and step)")


def _read_pixel_size(tree: Tree, groups: tuple[str, ...], layout: Layout) -> None:
    for group in groups:
        for name in ("x_pixel_size", "pixel_size_x", "pixel_size"):
            value = tree.number(f"{group}/{name}")
            size = parse_size(value) if value is not None else None
            unit = parse_unit(tree.unit(f"{group}/{name}")) if size is not None else None
            if size is not None and unit is not None:
                layout.voxel_size, layout.unit = size, unit
                return


def _check_rescale(scale: Any, offset: Any, tree: Tree) -> tuple[float, float]:
    numbers = [1.0 if scale is None else scale, 0.0 if offset is None else offset]
    if not all(isinstance(v, (int, float)) and np.isfinite(v) for v in numbers) or numbers[0] == 0:
        raise FormatError(f"{tree.path}: a scale of {scale!r} and an offset of {offset!r} make no sense")
    return float(numbers[0]), float(numbers[1])
