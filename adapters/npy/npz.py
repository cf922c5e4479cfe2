"""NumPy's .npz: a zip archive of .npy files."""

from __future__ import annotations

import json
import math
import os
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import FormatError
from tomoprior.formats import Header, Stack
from tomoprior.formats.angle_names import is_angle_name
from tomoprior.formats.angles import RejectedAngles
from tomoprior.formats.checks import check_dtype, check_room, check_shape
from tomoprior.formats.raw import reserve, write_at
from tomoprior.formats.sinks import RegionSink
from tomoprior.storage.lazy import Box, LazyArray, one_line

from ..metadata import from_header, to_stack
from .header import lazy, npy_header, parse

_NAMES = ("projections", "volume", "data")
_METADATA = ("voxel_size", "unit", "origin", "angles", "angle_unit")
_SMALL = 16 << 20
_DEFLATE = 1100  # deflate packs at most 1 : 1032; a larger claim is a decompression bomb or an error


def is_npz(path: Path) -> bool:
    """Return whether the file is a zip archive with a ``.npy`` in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except Exception:  # zipfile raises a dozen kinds for a broken directory
        return False


def read_npz(path: Path, dataset: str | None) -> Stack:
    """Open the array ``dataset``, or ``projections``, ``volume`` or ``data``, or the only array of three axes.

    Angles are the array ``angles``, or one of another usual name.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {i.filename.removesuffix(".npy"): i for i in archive.infolist() if i.filename.endswith(".npy")}
            for member in members.values():
                if member.file_size > member.compress_size * _DEFLATE + 1024:
                    raise FormatError(f"{path}: {member.filename} claims {member.file_size} bytes, more than are in it")
            name = _choose(path, archive, members, dataset)
            data = _open(path, archive, members[name])
            named = [member for member in members if is_angle_name(member)]
            values = {n: _small(path, archive, members.get(n)) for n in dict.fromkeys((*_METADATA, *named, "metadata"))}
    except FormatError:
        raise
    except Exception as error:
        raise FormatError(f"{path}: not a readable .npz ({one_line(error)})") from error
    metadata: dict[str, Any] = {}
    if isinstance(values.get("metadata"), str):
        try:
            metadata = json.loads(values["metadata"])
        except (ValueError, RecursionError):
            metadata = {}
    metadata = metadata if isinstance(metadata, dict) else {}
    metadata |= {k: v for k, v in values.items() if v is not None and k != "metadata"}
    fields = to_stack(metadata, data.shape[0], path)
    unread = [name for name in named if values[name] is None]
    if unread and fields.get("angles") is None and fields.get("rejected_angles") is None:
        reason = f"{path}: {unread[0]} holds Python objects or is too large, and is not read; save it as numbers"
        fields["rejected_angles"] = RejectedAngles(reason)
    return Stack(data, **fields)


class NPZSink(RegionSink):
    """Collects the values in an unnamed file and packs them, uncompressed, when they are complete."""

    def __init__(self, path: Path, header: Header) -> None:
        super().__init__(header.shape, header.dtype)
        self._path, self._header = path, header
        # a file without a name disappears after any error
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 - closed in _finish
        try:
            reserve(self._file.fileno(), path, 0, math.prod(header.shape) * self.dtype.itemsize)
        except BaseException:
            self._file.close()
            raise

    def _write(self, z0: int, z1: int, y0: int, y1: int, values: NDArray[Any]) -> None:
        row = self.shape[2] * self.dtype.itemsize
        for i in range(z0, z1):
            write_at(self._file.fileno(), values[i - z0], (i * self.shape[1] + y0) * row)

    def _finish(self) -> None:
        with self._file as values:
            if self.missing:
                return
            with zipfile.ZipFile(self._path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
                name = "volume" if self._header.angles is None else "projections"
                with archive.open(f"{name}.npy", "w", force_zip64=True) as out:
                    out.write(npy_header(self.shape, self.dtype))
                    values.seek(0)
                    while piece := values.read(1 << 24):
                        out.write(piece)
                metadata = from_header(self._header)
                for key in _METADATA:
                    if key in metadata:
                        with archive.open(f"{key}.npy", "w") as out:
                            np.lib.format.write_array(out, np.asarray(metadata[key]), allow_pickle=False)
                with archive.open("metadata.npy", "w") as out:
                    np.lib.format.write_array(out, np.asarray(json.dumps(metadata)), allow_pickle=False)
        with self._path.open("rb") as written:
            os.fsync(written.fileno())


class _Packed(LazyArray):
    """A compressed member: unpacked as a whole when it is first read."""

    def __init__(self, path: Path, member: str, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> None:
        super().__init__(path, shape, dtype)
        self._member = member
        self._values: NDArray[Any] | None = None

    def _read(self, box: Box) -> NDArray[Any]:
        if self._values is None:
            with zipfile.ZipFile(self.path) as archive, archive.open(self._member) as file:
                self._values = np.lib.format.read_array(file, allow_pickle=False)
        return self._values[box]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_values": None}


def _choose(path: Path, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], dataset: str | None) -> str:
    if dataset is not None:
        if dataset not in members:
            raise FormatError(f"{path}: no array {dataset!r} in it; there are {', '.join(members) or 'none'}")
        return dataset
    for name in _NAMES:
        if name in members:
            return name
    three = []
    for name, member in members.items():
        with archive.open(member) as file:
            if len(parse(file, path)[0]) == 3:
                three.append(name)
    if len(three) != 1:
        listed = ", ".join(members) or "none"
        raise FormatError(f"{path}: which array is meant? Say dataset=NAME (--dataset NAME); there are {listed}")
    return three[0]


def _open(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> LazyArray:
    with archive.open(member) as file:
        shape, fortran, dtype = parse(file, path)
        start = file.tell()
    if member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 0x1:
        with path.open("rb") as raw:
            raw.seek(member.header_offset)
            local = raw.read(30)
        name_length, extra_length = struct.unpack("<HH", local[26:30])
        offset = member.header_offset + 30 + name_length + extra_length
        end = min(offset + member.file_size, path.stat().st_size)
        return lazy(path, offset + start, shape, fortran, dtype, end=end)
    dtype, sizes = check_dtype(dtype, path), check_shape(shape, path)
    check_room(path, start + math.prod(sizes) * dtype.itemsize, member.file_size)
    return _Packed(path, member.filename, sizes, dtype)


def _small(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo | None) -> Any:
    """Return a small array or scalar as Python values; None if it is missing or of another kind."""
    if member is None or member.file_size > _SMALL:
        return None
    with archive.open(member) as file:
        shape, _, dtype = parse(file, path)
        if dtype.hasobject or file.tell() + math.prod(shape) * dtype.itemsize > member.file_size:
            return None
    with archive.open(member) as file:
        values = np.lib.format.read_array(file, allow_pickle=False)
    return values.item() if values.size == 1 and values.ndim == 0 else values.tolist()
