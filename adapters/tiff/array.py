"""Pages of TIFF files as lazy arrays."""

from __future__ import annotations

import logging
import math
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, get_ident
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from tomoprior.errors import FormatError
from tomoprior.formats.checks import check_dtype, check_room, check_shape
from tomoprior.formats.raw import RawArray
from tomoprior.storage.lazy import Box, LazyArray, one_line

from .bounded import bound_codecs

_RATIO = 5000  # no codec packs an image more tightly, except an empty one
_HARMLESS = 1 << 26
_MAX_FAULTS = 100  # a file with more is not read

bound_codecs()


class PagesArray(LazyArray):
    """The pages of one file, unpacked one by one."""

    def __init__(self, path: Path, shape: tuple[int, int, int], dtype: Any) -> None:
        super().__init__(path, shape, dtype)
        self._lock = Lock()
        self._tif: tifffile.TiffFile | None = None

    def _read(self, box: Box) -> NDArray[Any]:
        z, y, x = box
        out = np.empty((z.stop - z.start, y.stop - y.start, x.stop - x.start), self.dtype)
        with self._lock, quiet():  # a file has one position
            if self._tif is None:
                self._tif = open_tiff(self.path)
                weakref.finalize(self, self._tif.close)
            pages = self._tif.series[0].pages
            for i in range(z.start, z.stop):
                out[i - z.start] = _image(pages[i], self.shape[1:], self.path)[y, x]
        return out

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_tif", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state | {"_tif": None, "_lock": Lock()}


class FolderArray(LazyArray):
    """Files of one image each, in the order of the list."""

    def __init__(self, folder: Path, files: list[Path], shape: tuple[int, int], dtype: Any) -> None:
        super().__init__(folder, (len(files), *shape), dtype)
        self._files = files

    def _read(self, box: Box) -> NDArray[Any]:
        z, y, x = box
        out = np.empty((z.stop - z.start, y.stop - y.start, x.stop - x.start), self.dtype)
        for i in range(z.start, z.stop):
            with quiet():
                out[i - z.start] = one_image(self._files[i], self.shape[1:], self.dtype)[y, x]
        return out


def open_tiff(path: Path) -> tifffile.TiffFile:
    """Return an open file whose first series is all its images, where a program wrote each image as a series of its own.

    ``tifffile`` writes such files if ``TiffWriter.write`` is called for each image.
    """
    tif = tifffile.TiffFile(path)
    try:
        if len(tif.series) == len(tif.pages) > 1 and tif.is_shaped and not (tif.is_imagej or tif.is_ome):
            images = {(tuple(series.shape), series.dtype) for series in tif.series}
            if len(images) == 1 and len(next(iter(images))[0]) == 2:
                tif.close()
                tif = tifffile.TiffFile(path, is_shaped=False)
    except BaseException:
        tif.close()
        raise
    return tif


def one_image(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the image of a file in a folder; FormatError if it is not like the first one."""
    try:
        with tifffile.TiffFile(path) as tif:
            page = tif.pages.first
            if page.dtype is None or np.dtype(page.dtype) != dtype:
                raise FormatError(f"{path}: of type {page.dtype}, where the first image of its folder is {dtype}")
            return _image(page, shape, path)
    except FormatError:
        raise
    except Exception as error:  # tifffile raises its own and many a built-in type for a broken file
        raise FormatError(f"{path}: not a readable TIFF file ({one_line(error)})") from error


def stack_array(tif: tifffile.TiffFile, path: Path) -> LazyArray:
    """Return the first series of an open file, read in place if it is not compressed, else page by page."""
    series = tif.series[0]
    frame = series.keyframe
    if frame.samplesperpixel != 1 or "S" in series.axes:
        raise FormatError(f"{path}: an image in colours; one value per pixel is needed")
    if frame.dtype is None:
        raise FormatError(f"{path}: pixels of {frame.bitspersample} bits are not read")
    dtype = check_dtype(frame.dtype, path)
    shape = tuple(int(n) for n in series.shape)
    while len(shape) > 3 and shape[0] == 1:
        shape = shape[1:]
    sizes = check_shape((1, *shape) if len(shape) == 2 else shape, path)
    on_disk, file_size = dtype.newbyteorder("<" if tif.byteorder == "<" else ">"), path.stat().st_size
    image = sizes[1] * sizes[2] * dtype.itemsize
    if series.dataoffset is not None:
        check_room(path, series.dataoffset + sizes[0] * image, file_size)
        return RawArray(path, series.dataoffset, sizes, on_disk)
    if len(series.pages) != sizes[0] or tuple(frame.shape) != sizes[1:]:
        raise FormatError(f"{path}: {len(series.pages)} pages do not make a stack of {sizes}")
    check_page(frame, path)
    offsets = _plain_offsets(series, frame, image, path, file_size)
    return PagesArray(path, sizes, dtype) if offsets is None else RawArray(path, 0, sizes, on_disk, offsets)


def check_page(page: Any, path: Path) -> None:
    """Refuse a page that cannot be unpacked or would fill the memory, before anything is unpacked."""
    packed = sum(int(n) for n in page.databytecounts)
    needed = math.prod(int(n) for n in page.shape) * np.dtype(page.dtype).itemsize
    if needed > _HARMLESS and needed > _RATIO * packed:
        raise FormatError(f"{path}: an image of {needed} bytes cannot come from the {packed} that the file has for it")
    if page.compression != 1 and not _has_codec(int(page.compression)):
        name = getattr(page.compression, "name", page.compression)
        raise FormatError(f"{path}: compressed by {name}, which needs the package imagecodecs: pip install imagecodecs")


def _has_codec(compression: int) -> bool:
    """Return whether images of this compression can be unpacked; a codec that is missing may say so only when it is called."""
    try:
        tifffile.TIFF.DECOMPRESSORS[compression](b"")
    except (KeyError, ImportError):
        return False
    except Exception:  # the codec is there and refuses an empty image
        return True
    return True


@contextmanager
def quiet() -> Iterator[list[str]]:
    """Collect the lines that tifffile logs (without a logging set-up it would print them)."""
    collector = _Collector()
    logger = logging.getLogger("tifffile")
    logger.addFilter(collector)
    try:
        yield collector.lines
    finally:
        logger.removeFilter(collector)


class _Collector(logging.Filter):
    """Takes the records of one thread out of the log and leaves those of other threads."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._thread = get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self._thread:
            return True
        self.lines.append(" ".join(record.getMessage().split())[:200])
        if len(self.lines) > _MAX_FAULTS:  # tifffile would follow a random directory through the file for hours
            raise ValueError(self.lines[0])
        return False


def _image(page: Any, shape: tuple[int, ...], path: Path) -> NDArray[Any]:
    if page is None or tuple(page.shape) != tuple(shape):
        raise FormatError(
            f"{path}: an image of shape {None if page is None else page.shape}, where the first is {tuple(shape)}"
        )
    check_page(page, path)
    return np.asarray(page.asarray())


def _plain_offsets(series: Any, frame: Any, image: int, path: Path, file_size: int) -> NDArray[np.int64] | None:
    """Return where each page starts, if all are uncompressed and in one piece; else None. A page beyond the end is an error."""
    offsets = np.empty(len(series.pages), np.int64)
    plain = frame.compression == 1 and frame.is_final
    for i, page in enumerate(series.pages):
        starts, counts = ((), ()) if page is None else (page.dataoffsets, page.databytecounts)
        if not starts or len(starts) != len(counts):
            raise FormatError(f"{path}: page {i} (counted from 0) has no image")
        ends = [a + n for a, n in zip(starts, counts, strict=True)]
        check_room(path, max(ends), file_size)
        plain = plain and sum(counts) == image and list(starts[1:]) == ends[:-1]
        offsets[i] = starts[0]
    return offsets if plain else None
