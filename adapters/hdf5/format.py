"""HDF5: Data Exchange and NXtomo, the files of synchrotron tomography, and any other dataset by its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np

from tomoprior.errors import FormatError
from tomoprior.formats import Header, Sink, Stack
from tomoprior.formats.checks import check_dtype, check_shape, given_angles, no_options
from tomoprior.formats.raw import RawSink, readable_bytes
from tomoprior.formats.transmission import Transmission
from tomoprior.storage.lazy import LazyArray, TransposedArray, one_line

from ..metadata import from_header, to_stack
from .array import Fields, HDF5Array, check_filters
from .layouts import Layout, find, text

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_LINE_INTEGRALS = "line integrals"  # our own files say so; Data Exchange has no word for it


class HDF5:
    """HDF5 files of synchrotrons.

    Options of ``read``: ``dataset``, the path of an array in the file, instead of what the layout says; ``normalize``, to take
    off the dark field and divide by the flat field, which is True, False or None (if the file has flat fields).
    """

    name: ClassVar[str] = "hdf5"
    extensions: ClassVar[tuple[str, ...]] = (".h5", ".hdf5", ".hdf", ".nx", ".nxs")
    is_folder: ClassVar[bool] = False
    can_stream: ClassVar[bool] = True
    holds_angles: ClassVar[bool] = True

    def matches(self, path: Path) -> bool:
        """Look for HDF5's signature, which may stand behind a block of 512 bytes or more."""
        return path.is_file() and any(readable_bytes(path, 8, at) == _SIGNATURE for at in (0, 512, 1024, 2048))

    def read(self, path: Path, *, dataset: str | None = None, normalize: bool | None = None, **options: Any) -> Stack:
        """Open a file; counts are normalised region by region when they are read."""
        no_options(options, "HDF5")
        readable_bytes(path, 1)
        try:
            with h5py.File(path, "r") as file:
                return _stack(file, path, find(file, path, dataset), normalize)
        except FormatError:
            raise
        except Exception as error:  # h5py raises OSError, KeyError, RuntimeError and more for a broken file
            raise FormatError(f"{path}: not a readable HDF5 file ({one_line(error)})") from error

    def create(self, path: Path, header: Header) -> Sink:
        """Start a Data Exchange file. The library writes the structure, and we the values, at the place that it gave them."""
        dtype = np.dtype(header.dtype).newbyteorder("<")
        with h5py.File(path, "w") as file:
            group = file.create_group("exchange")
            properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            properties.set_obj_track_times(False)  # the same volume is the same file, whenever it was written
            properties.set_layout(h5py.h5d.CONTIGUOUS)
            properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)  # the place is known before there is a value
            properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            space = h5py.h5s.create_simple(tuple(header.shape))
            kind = h5py.h5t.py_create(dtype, logical=True)
            data = h5py.Dataset(h5py.h5d.create(group.id, b"data", kind, space, dcpl=properties))
            values = from_header(header)
            angles = values.pop("angles", None)
            data.attrs["axes"] = ":".join("theta" if axis == "angle" else axis for axis in values.pop("axes"))
            data.attrs["values"] = _LINE_INTEGRALS
            for key, value in values.items():
                data.attrs[key] = value if isinstance(value, (int, float, str, bool)) or _flat(value) else str(value)
            if angles is not None:
                theta = group.create_dataset("theta", data=np.rad2deg(angles))
                theta.attrs["units"] = "degrees"
            offset = data.id.get_offset()
        if offset is None:
            raise FormatError(f"{path}: the HDF5 library gave the values no place in the file")
        return RawSink(path, offset, header.shape, dtype)

    def reopen(self, path: Path, header: Header) -> Sink:
        """Go on with a file that ``create`` began."""
        with h5py.File(path, "r") as file:
            offset = file["exchange/data"].id.get_offset()
        return RawSink(path, int(offset), header.shape, np.dtype(header.dtype).newbyteorder("<"), again=True)

    def complete(self, path: Path, header: Header) -> None:
        """Nothing is left to do."""


def _stack(file: h5py.File, path: Path, layout: Layout, normalize: bool | None) -> Stack:
    source = file[layout.data]
    shape, dtype = check_shape(source.shape, path, layout.data), check_dtype(source.dtype, path, layout.data)
    check_filters(source, path)
    attrs = {key: _plain(source.attrs, key) for key in source.attrs}
    warnings = layout.warnings
    images = None
    if layout.keys is not None:
        if len(layout.keys) != shape[0]:
            raise FormatError(f"{path}: {len(layout.keys)} image keys for {shape[0]} images")
        images = np.flatnonzero(layout.keys == 0)
        if not len(images):
            raise FormatError(f"{path}: no image in it is a projection (image key 0)")
    data: LazyArray = HDF5Array(path, layout.data, shape, dtype, images)
    xray = layout.xray and attrs.get("values") != _LINE_INTEGRALS
    axes = [a.strip() for a in text(attrs.get("axes")).split(":")]
    if len(axes) == 3 and "theta" in axes[1:]:
        order = {1: (1, 0, 2), 2: (2, 0, 1)}[axes.index("theta")]
        data = TransposedArray(data, order)  # sinograms: the angle goes first
        warnings.append(f"{path}: its axes are {':'.join(axes)}; read with the angle first")
    data, normalized = _normalized(file, path, layout, data, normalize)
    fields = to_stack(attrs, data.shape[0], path)
    warnings = [*fields.pop("warnings"), *warnings]
    if layout.angles is not None:
        angles = layout.angles
        if images is not None and len(angles) == shape[0]:
            angles = angles[images]
        fields["angles"], lines = given_angles(angles, data.shape[0], path)
        warnings += lines
    if layout.voxel_size is not None and "voxel_size" not in attrs:
        fields |= {"voxel_size": layout.voxel_size, "unit": layout.unit}
    fields["attrs"] = {k: v for k, v in fields["attrs"].items() if k not in ("axes", "values")} | {"dataset": layout.data}
    if normalized:
        fields["attrs"] |= {"normalized": "divided by the flat field", "units": "transmission"}
    return Stack(data, counts=xray or normalized, warnings=tuple(warnings), **fields)


def _normalized(file: h5py.File, path: Path, layout: Layout, data: LazyArray, normalize: bool | None) -> tuple[LazyArray, bool]:
    """The data over the flat field, if that is wanted and possible."""
    flats, darks = (_images(file, path, layout, names, key) for names, key in ((layout.flats, 1), (layout.darks, 2)))
    if normalize is False or (normalize is None and not flats):
        return data, False
    if not flats:
        raise FormatError(f"{path}: no flat field in it, so the counts of {layout.data} cannot be normalised")
    for field in (*flats, *darks):
        if field.shape[1:] != data.shape[1:]:
            raise FormatError(f"{path}: flat or dark fields of shape {field.shape[1:]} do not fit images of {data.shape[1:]}")
    return Transmission(data, Fields(path, darks, flats)), True


def _images(file: h5py.File, path: Path, layout: Layout, names: list[str], key: int) -> list[LazyArray]:
    out: list[LazyArray] = []
    for name in names:
        found = file[name]
        if found.size:  # some beamlines write an empty dataset where no field was taken
            out.append(HDF5Array(path, name, check_shape(found.shape, path, name), check_dtype(found.dtype, path, name)))
    if layout.keys is not None and np.any(layout.keys == key):
        source = file[layout.data]
        out.append(HDF5Array(path, layout.data, source.shape, source.dtype, np.flatnonzero(layout.keys == key)))
    return out


def _plain(attrs: Mapping[str, Any], key: str) -> Any:
    """An attribute as plain Python values, or its text where it has no such form."""
    try:
        value = attrs[key]
    except Exception:  # types that NumPy does not know
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def _flat(value: Any) -> bool:
    """True for a list of texts or of numbers, which HDF5 has a type for."""
    return isinstance(value, list) and (
        all(isinstance(v, str) for v in value) or all(isinstance(v, (int, float)) for v in value)
    )
