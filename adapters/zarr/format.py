"""Zarr: folders of chunks. Versions 2 and 3 are read, also OME-NGFF images; version 3 is written, volumes as OME-NGFF 0.5."""

from __future__ import annotations

import os
import warnings as python_warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise, product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import zarr
from numpy.typing import NDArray

from tomoprior.errors import FormatError
from tomoprior.formats import Header, Sink, Stack
from tomoprior.formats.addresses import address_of
from tomoprior.formats.angle_names import best_angle_name
from tomoprior.formats.checks import MAX_SIDE, check_dtype, check_shape, refuse_options
from tomoprior.formats.sinks import RegionSink
from tomoprior.storage.lazy import Box, LazyArray, one_line

from ..metadata import from_header, to_stack
from . import pyramid
from .bounded import bound_decoders
from .holes import find_missing_images
from .ngff import level_0, multiscale, voxel
from .remote import opening, remote_store
from .zipped import MARKS, check_members, is_zip_store

_LARGEST_CHUNK = 8 << 30
_CHUNK = (8, 64, 512)  # of a tilt series: 1 MB of float32, some tilts by some rows, because both are read


class Zarr:
    """Zarr stores in folders, and read also in zip archives (``.zarr.zip``).

    Option of ``read``: ``dataset``, the path of an array in a group. Stores at addresses (``https://``, ``s3://``) are read
    through fsspec, which is the extra ``remote``.

    A volume is written as an OME-NGFF 0.5 image, a group of arrays ``0``, ``1``, ... of falling resolution; a tilt series as
    one array. ``voxel_size``, ``unit``, ``axes``, ``origin`` (and ``angles``, radians) are attributes of group or array too.
    """

    name: ClassVar[str] = "zarr"
    extensions: ClassVar[tuple[str, ...]] = (".zarr",)
    is_folder: ClassVar[bool] = True
    holds_angles: ClassVar[bool] = True

    def matches(self, path: Path) -> bool:
        """Look for the metadata of an array or a group in a folder, or at the root of a zip archive."""
        return any((path / mark).is_file() for mark in MARKS) if path.is_dir() else is_zip_store(path)

    def read(self, path: Path, *, dataset: str | None = None, **options: Any) -> Stack:
        """Open a store; chunks are read when they are indexed."""
        refuse_options(options, "Zarr")
        address = address_of(path)
        if address is not None:
            with opening(address):
                return self._open(path, remote_store(address), dataset)
        if not path.is_dir() and not is_zip_store(path):
            raise FormatError(f"{path}: a file, where the folder or zip archive of a Zarr store was expected")
        if not self.matches(path):
            raise FormatError(f"{path}: no Zarr array or group in this folder")
        try:
            return self._open(path, _store(path), dataset)
        except FormatError:
            raise
        except Exception as error:  # zarr raises many types for broken metadata
            raise FormatError(f"{path}: not a readable Zarr store ({one_line(error)})") from error

    def _open(self, path: Path, store: Any, dataset: str | None) -> Stack:
        with _no_warnings():
            # consolidated metadata are a copy, which may be out of date; an address may have no other list of its arrays
            opened = zarr.open(store, mode="r", use_consolidated=None if address_of(path) else False)
            array, attrs, lines = _find_array(opened, path, dataset)
            return _stack(array, attrs, path, lines)

    def create(self, path: Path, header: Header) -> Sink:
        """Start an image or an array; a region that covers part of a shard or chunk is merged with its content."""
        return _Image.create(path, header) if header.angles is None else _Series(path, header)

    def reopen(self, path: Path, header: Header) -> Sink:
        """Open an image that ``create`` began; processes may write slabs of ``header.slab`` rows at the same time."""
        return _Image(path, header, _levels(path, header), again=True)

    def complete(self, path: Path, header: Header) -> None:
        """Write the smaller copies of a complete volume, and remove files that killed writers left."""
        for stray in path.rglob("*.partial"):
            stray.unlink()
        _fill(_levels(path, header))


class _ZarrArray(LazyArray):
    """An array without its leading axes of length one."""

    def __init__(self, path: Path, array: Any, shape: tuple[int, int, int]) -> None:
        super().__init__(path, shape, array.dtype)
        self._array = array

    def _read(self, box: Box) -> NDArray[Any]:
        return np.asarray(self._array[(0,) * (self._array.ndim - 3) + box])


class _Image(RegionSink):
    """A volume: regions are written at full resolution; the other levels are computed from it at the end."""

    def __init__(self, path: Path, header: Header, levels: list[Any], *, again: bool = False) -> None:
        super().__init__(header.shape, header.dtype, again=again)
        self.path, self._levels = path, levels
        self._touched: set[Path] = set()

    @classmethod
    def create(cls, path: Path, header: Header) -> _Image:
        """Create an image with all its levels, without values."""
        attrs = from_header(header)
        ome = pyramid.metadata(header.name or path.stem, header.shape, header.voxel_size, header.unit, header.origin)
        levels = []
        with _no_warnings():
            group = zarr.create_group(str(path), zarr_format=3, attributes={"ome": ome, **attrs})
            for level, shape in enumerate(pyramid.shapes(header.shape)):
                chunk, shard = pyramid.layout(shape, header.slab if level == 0 else None)
                levels.append(
                    group.create_array(
                        str(level), shape=shape, chunks=chunk, shards=shard, dtype=np.dtype(header.dtype), fill_value=0,
                        dimension_names=attrs["axes"],
                    )
                )  # fmt: skip
        return cls(path, header, levels)

    def _write(self, z0: int, z1: int, y0: int, y1: int, values: NDArray[Any]) -> None:
        finest = self._levels[0]
        edges, begin, end = finest.shards or finest.chunks, (z0, y0, 0), (z1, y1, self.shape[2])
        for at in product(*(range(a // e, -(-b // e)) for a, b, e in zip(begin, end, edges, strict=True))):
            # one shard at a time: zarr copies and compresses in memory what it is given
            box = [slice(max(a, i * e), min(b, (i + 1) * e)) for i, a, b, e in zip(at, begin, end, edges, strict=True)]
            finest[tuple(box)] = values[tuple(slice(s.start - a, s.stop - a) for s, a in zip(box, begin, strict=True))]
            if self.again:
                self._touched.add(self.path / "0" / "c" / Path(*map(str, at)))

    def _finish(self) -> None:
        levels, self._levels = self._levels, []
        for shard in self._touched:  # the journal record that follows must not reach the disk before the data
            if shard.is_file():  # a shard of zeros is not stored
                with shard.open("rb") as file:
                    os.fsync(file.fileno())
        if self.missing == 0 and not self.again:
            _fill(levels)


class _Series(RegionSink):
    def __init__(self, path: Path, header: Header) -> None:
        super().__init__(header.shape, header.dtype)
        attrs = from_header(header)
        with _no_warnings():
            self._array: Any = zarr.create_array(
                str(path),
                shape=header.shape,
                chunks=tuple(min(n, c) for n, c in zip(header.shape, _CHUNK, strict=True)),
                dtype=self.dtype,
                zarr_format=3,
                fill_value=0,
                dimension_names=attrs["axes"],
                attributes=attrs,
            )

    def _write(self, z0: int, z1: int, y0: int, y1: int, values: NDArray[Any]) -> None:
        self._array[z0:z1, y0:y1, :] = values

    def _finish(self) -> None:
        self._array = None


def _levels(path: Path, header: Header) -> list[Any]:
    with _no_warnings():
        group = zarr.open_group(str(path), mode="r+", use_consolidated=False)
        return [group[str(level)] for level in range(len(pyramid.shapes(header.shape)))]


def _fill(levels: list[Any]) -> None:
    for finer, coarser in pairwise(levels):
        pyramid.fill(finer, coarser)


def _store(path: Path) -> Any:
    if path.is_dir():
        return str(path)
    check_members(path)
    return zarr.storage.ZipStore(path, mode="r")


def _find_array(opened: Any, path: Path, dataset: str | None) -> tuple[Any, dict[str, Any], list[str]]:
    """Return the array to read, its metadata, and lines for the user."""
    if isinstance(opened, zarr.Array):
        if dataset not in (None, "", "/"):
            raise FormatError(f"{path}: one array without a name, so no dataset {dataset!r}")
        return opened, dict(opened.attrs), find_missing_images(opened, path)
    image, base = multiscale(opened.attrs), ""
    if image is None and dataset is None and isinstance(_member(opened, "0"), zarr.Group):
        # bioformats2raw: the images of a file are groups called 0, 1, ...
        image, base = multiscale(opened["0"].attrs), "0/"
    level = level_0(image) if image is not None else None
    if dataset is not None:
        member = _member(opened, dataset.strip("/"))
    elif level is not None:
        member = _member(opened, base + level)
    else:
        three = [name for name, array in _arrays(opened) if array.ndim == 3]
        if len(three) != 1:
            names = ", ".join(sorted(opened.keys())[:8]) or "nothing"
            raise FormatError(f"{path}: which array is meant? Say dataset=NAME (--dataset NAME); in the group: {names}")
        member = opened[three[0]]
    if not isinstance(member, zarr.Array):
        raise FormatError(f"{path}: no array {dataset or level!r} in the group")
    attrs = {k: v for k, v in opened.attrs.items() if k not in ("multiscales", "ome", "omero")} | dict(member.attrs)
    attrs |= _angles_beside(opened, attrs)
    if image is not None and (dataset is None or dataset.strip("/") == level):
        known, lines = voxel(image)
        attrs |= known
        ours = attrs.get("voxel_size") is not None
        return member, attrs, [] if ours and not known else [f"{path}: {line}" for line in lines]
    return member, attrs, [] if image is not None else find_missing_images(member, path)


def _arrays(group: Any) -> list[tuple[str, Any]]:
    """Return the arrays of a group with their names; an empty list for a web server that does not list its files."""
    try:
        return list(group.arrays())
    except Exception:
        if isinstance(group.store, zarr.storage.FsspecStore):
            return []
        raise


def _angles_beside(group: Any, attrs: dict[str, Any]) -> dict[str, Any]:
    """Return the angles in an array of the group, and the unit that it states; nothing if attributes have them."""
    if attrs.get("angles") is not None:
        return {}
    lists = {name: array for name, array in _arrays(group) if array.ndim == 1 and 1 < array.size <= MAX_SIDE}
    name = best_angle_name(lists)
    if name is None or lists[name].dtype.kind not in "fiu":
        return {}
    said = next((str(lists[name].attrs[key]) for key in ("units", "unit", "angle_unit") if key in lists[name].attrs), "")
    return {name: np.asarray(lists[name][...]).tolist(), **({"angle_unit": said} if said else {})}


def _stack(array: Any, attrs: dict[str, Any], path: Path, lines: list[str]) -> Stack:
    shape = tuple(array.shape)
    while len(shape) > 3 and shape[0] == 1:
        shape = shape[1:]
    sizes, dtype = check_shape(shape, path), check_dtype(array.dtype, path)
    chunk = int(np.prod([int(n) for n in array.chunks], dtype=object)) * dtype.itemsize
    if not 0 < chunk <= _LARGEST_CHUNK:
        raise FormatError(f"{path}: chunks of {chunk} bytes are too large: each is unpacked as a whole")
    bound_decoders(array, path)
    fields = to_stack(attrs, sizes[0], path)
    warnings = (*fields.pop("warnings"), *lines)
    return Stack(_ZarrArray(path, array, sizes), warnings=warnings, **fields)


def _member(group: Any, name: str) -> Any:
    try:
        return group[name]
    except (KeyError, FileNotFoundError, ValueError):
        return None


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Silence Zarr's warnings about its future specification, which a user of a volume cannot act on."""
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")
        yield
