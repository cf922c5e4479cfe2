"""MRC files that are compressed as a whole, by gzip or bzip2: unpacked in memory when they are first read."""

from __future__ import annotations

import bz2
import gzip
import math
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior import memory
from tomoprior.errors import FormatError
from tomoprior.formats.raw import readable_bytes
from tomoprior.storage.lazy import Box, LazyArray, one_line

_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2"}
_PIECE = 16 << 20
_GZIP_RATIO = 1100  # deflate packs at most 1 : 1032
_SHARE = 0.8  # of the free memory that an unpacked file may take


def compression(start: bytes) -> str | None:
    """Return ``"gzip"``, ``"bzip2"`` or None, by the first bytes of a file."""
    return next((name for magic, name in _MAGIC.items() if start.startswith(magic)), None)


def read_start(path: Path, count: int) -> tuple[bytes, bool]:
    """Return the first ``count`` bytes of a file, and True if they had to be unpacked; FormatError if it cannot be read."""
    start = readable_bytes(path, count)
    if compression(start) is None:
        return start, False
    try:
        with _open(path) as file:
            return file.read(count), True
    except Exception as error:  # OSError, EOFError and zlib.error for a broken file
        raise FormatError(f"{path}: cannot be unpacked ({one_line(error)})") from error


class UnpackedArray(LazyArray):
    """A C-contiguous array at byte ``offset`` of the unpacked file; the whole is unpacked when a part is first read.

    Raises
    ------
    FormatError
        If it does not fit into the free memory or cannot come from so small a file; when it is read, if the file ends too soon.
    """

    def __init__(self, path: Path, offset: int, shape: tuple[int, int, int], dtype: Any) -> None:
        super().__init__(path, shape, dtype)
        self._offset, self._disk_dtype = offset, np.dtype(dtype)
        self._values: NDArray[Any] | None = None
        self._lock = Lock()
        count, limit = offset + self.nbytes, path.stat().st_size * _GZIP_RATIO
        if compression(readable_bytes(path, 3)) == "gzip" and count > limit:
            raise FormatError(f"{path}: its header promises {count} bytes, and at most {limit} can be packed in it")
        if count > _SHARE * memory.available():
            raise FormatError(f"{path}: {memory.format_bytes(count)} unpacked do not fit into memory; unpack it first")

    def _read(self, box: Box) -> NDArray[Any]:
        with self._lock:
            if self._values is None:
                self._values = self._unpack()
        return self._values[box]

    def _unpack(self) -> NDArray[Any]:
        count = math.prod(self.shape) * self._disk_dtype.itemsize
        raw = bytearray()  # grows with the bytes that exist, even if the header promises more
        with _open(self.path) as file:
            file.seek(self._offset)  # in small pieces, whatever the header promises
            while len(raw) < count and (piece := file.read(min(_PIECE, count - len(raw)))):
                raw += piece
        if len(raw) < count:
            raise FormatError(f"{self.path}: truncated, or its header is wrong: {count} bytes of values, {len(raw)} are there")
        return np.frombuffer(raw, self._disk_dtype).reshape(self.shape)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_values", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state | {"_values": None, "_lock": Lock()}


def _open(path: Path) -> gzip.GzipFile | bz2.BZ2File:
    return gzip.GzipFile(path) if compression(readable_bytes(path, 3)) == "gzip" else bz2.BZ2File(path)
