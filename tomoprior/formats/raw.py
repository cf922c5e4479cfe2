"""Uncompressed values in a file: read and written by position, never through a memory map.

A memory map kills Python (SIGBUS) when the disk is full or when another program truncates the file; a positioned read or write
raises an error that can be reported. It also shares no file position, so that threads can use one array together.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tomoprior.errors import FormatError
from tomoprior.formats.sinks import RegionSink
from tomoprior.storage.files import read_at_most
from tomoprior.storage.lazy import Box, LazyArray

# where the file system cannot reserve space, the C library writes into every block instead: too slow beyond this
_RESERVE_LIMIT = 16 << 30
_PIECE = 64 << 20  # Linux moves at most 2 GiB in a call; between smaller pieces Python can handle an interrupt


class RawArray(LazyArray):
    """A C-contiguous array of ``shape`` at byte ``offset`` of a file; pickles as the path, so it can go to another process.

    Parameters
    ----------
    path, offset
        The file, and the byte at which the first value is stored.
    shape, dtype
        Shape and type of the array; ``dtype`` has the byte order of the file.
    offsets
        Byte at which each image ``[i]`` starts, shape ``(n,)``, if they do not follow each other.
    """

    def __init__(
        self,
        path: Path,
        offset: int,
        shape: tuple[int, int, int],
        dtype: DTypeLike,
        offsets: NDArray[np.int64] | None = None,
    ) -> None:
        super().__init__(path, shape, dtype)
        self.disk_dtype = np.dtype(dtype)
        self.offset, self._offsets = int(offset), offsets

    def _read(self, box: Box) -> NDArray[Any]:
        (z0, z1), (y0, y1), (x0, x1) = ((s.start, s.stop) for s in box)
        _, ny, nx = self.shape
        row, image = nx * self.disk_dtype.itemsize, ny * nx * self.disk_dtype.itemsize
        # whole rows are read and cropped: a file system reads whole pages anyway
        out = np.empty((z1 - z0, y1 - y0, nx), self.disk_dtype)
        with self.path.open("rb", buffering=0) as file:
            if self._offsets is None and (y0, y1) == (0, ny):
                _read_into(file.fileno(), out, self.offset + z0 * image, self.path)
            else:
                for i in range(z0, z1):
                    start = self.offset + i * image if self._offsets is None else int(self._offsets[i])
                    _read_into(file.fileno(), out[i - z0], start + y0 * row, self.path)
        return out[:, :, x0:x1]


class RawSink(RegionSink):
    """Writes regions of a C-contiguous array at byte ``offset`` of an existing file that has its header.

    Parameters
    ----------
    path
        The file; the caller removes it after an error.
    offset, shape, dtype
        As in ``RawArray``.
    again
        The file exists with its full size and header; regions may be written again, and nothing is completed at the end.

    Raises
    ------
    OSError
        At once, if the file system has no room for the whole.
    """

    def __init__(self, path: Path, offset: int, shape: tuple[int, int, int], dtype: DTypeLike, *, again: bool = False) -> None:
        super().__init__(shape, dtype, again=again)
        self.path, self.offset = path, offset
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | (0 if again else os.O_CREAT), 0o666)
        if again:
            return
        try:
            reserve(self._fd, path, offset, int(np.prod(shape, dtype=object)) * self.dtype.itemsize)
        except BaseException:
            os.close(self._fd)
            raise

    def _write(self, z0: int, z1: int, y0: int, y1: int, values: NDArray[Any]) -> None:
        _, ny, nx = self.shape
        row = nx * self.dtype.itemsize
        if (y0, y1) == (0, ny):
            write_at(self._fd, values, self.offset + z0 * ny * row)
        else:
            for i in range(z0, z1):
                write_at(self._fd, values[i - z0], self.offset + (i * ny + y0) * row)

    def _finish(self) -> None:
        try:
            if not self.again:
                self._complete()
            os.fsync(self._fd)  # the rename that follows must not overtake the data
        finally:
            os.close(self._fd)

    def _complete(self) -> None:
        """Write what a format adds after all values, to ``self._fd`` by ``write_at``."""


def reserve(fd: int, path: Path, offset: int, nbytes: int) -> None:
    """Reserve ``nbytes`` at ``offset`` on the disk, so that a full disk is an error before the work and not after it.

    Raises
    ------
    OSError
        ``ENOSPC``, or the error of the file system.
    """
    if nbytes > shutil.disk_usage(path.parent).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if nbytes > _RESERVE_LIMIT or not hasattr(os, "posix_fallocate"):
        os.truncate(fd, offset + nbytes)
        return
    try:
        os.posix_fallocate(fd, offset, nbytes)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV):
            raise
        os.truncate(fd, offset + nbytes)


def write_at(fd: int, values: NDArray[Any] | bytes, offset: int) -> None:
    """Write all of a contiguous array (or bytes) at ``offset``; a short write is continued."""
    view = memoryview(values) if isinstance(values, bytes) else values.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(view):
        count = os.pwrite(fd, view[done : done + _PIECE], offset + done)
        if count == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done += count


def _read_into(fd: int, out: NDArray[Any], offset: int, path: Path) -> None:
    view = out.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(view):
        count = os.preadv(fd, [view[done : done + _PIECE]], offset + done)
        if count == 0:
            raise FormatError(f"{path}: the file ends at byte {offset + done}; it has been truncated since it was opened")
        done += count


def readable_bytes(path: Path, count: int, offset: int = 0) -> bytes:
    """Return the first bytes of a regular file.

    Parameters
    ----------
    path
        The file.
    count
        Bytes to read; a shorter file gives fewer.
    offset
        Position of the first byte.

    Raises
    ------
    FormatError
        One line, if the file cannot be read.
    """
    try:
        if not path.is_file():
            raise FormatError(f"{path}: {'a folder' if path.is_dir() else 'not a file'}, where a file was expected")
        with path.open("rb") as file:
            file.seek(offset)
            return read_at_most(file, count)
    except FormatError:
        raise
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror or error})") from error
