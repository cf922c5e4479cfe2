"""Bounds on what a strip or tile of a TIFF file may unpack to: as many bytes as the page says.

tifffile passes that number to its codecs. Those of imagecodecs use it; the plain ones, which serve where imagecodecs is not
installed, ignore it and are replaced here.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import tifffile

#: Numbers of TIFF compressions, and the streams that unpack them.
_STREAMS: dict[int, Callable[[], Any]] = {
    8: zlib.decompressobj,
    32946: zlib.decompressobj,
    50013: zlib.decompressobj,
    34925: lzma.LZMADecompressor,
}
#: Number of the compression PackBits: runs of equal bytes, up to 64 times their size.
_PACKBITS = 32773
#: Bytes beyond a page's own that are ignored: padding of the last row.
_SLACK = 1 << 16


def bound_codecs() -> None:
    """Replace tifffile's plain codecs by bounded ones, once in a process."""
    codecs: Any = tifffile.TIFF.DECOMPRESSORS
    for number, unpack in (
        {n: partial(_unpack, start) for n, start in _STREAMS.items()} | {_PACKBITS: _unpack_packbits}
    ).items():
        try:
            plain = codecs[number]
        except (KeyError, ImportError):
            continue
        if getattr(plain, "__module__", "").startswith("tifffile"):
            codecs._codecs[number] = unpack


def _unpack(start: Callable[[], Any], data: bytes, /, *, out: Any = None) -> bytes:
    """Unpack ``data``; raise ValueError if it holds more than ``out``, a number of bytes, says."""
    size = _count_bytes(out)
    stream = start()
    if size is None:
        return bytes(stream.decompress(data))
    unpacked = bytes(stream.decompress(data, size + _SLACK))
    if not stream.eof and len(unpacked) >= size + _SLACK:
        raise _too_large(size)
    return unpacked


def _unpack_packbits(data: bytes, /, *, out: Any = None) -> bytes:
    """Unpack ``data`` as ``_unpack`` does."""
    size, unpacked, at = _count_bytes(out), bytearray(), 0
    while at < len(data):
        if size is not None and len(unpacked) >= size + _SLACK:
            raise _too_large(size)
        head = data[at]
        if head < 128:  # so many bytes and one follow
            unpacked += data[at + 1 : at + 2 + head]
            at += 1 + head
        elif head > 128:  # the next byte is repeated
            unpacked += data[at + 1 : at + 2] * (257 - head)
            at += 1
        at += 1
    return bytes(unpacked)


def _count_bytes(out: Any) -> int | None:
    return out if isinstance(out, int) else getattr(out, "nbytes", None)


def _too_large(size: int) -> ValueError:
    return ValueError(f"a strip unpacks to more than the {size} bytes that its page says")
