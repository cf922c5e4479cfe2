"""Bounds on what a chunk may unpack to: as many bytes as the array says, and no compressor inside another."""

from __future__ import annotations

import bz2
import lzma
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from tomoprior.errors import FormatError

#: Compressors, by their names in Zarr 2 and in numcodecs; a filter or a checksum is none.
_COMPRESSORS = {"gzip", "zlib", "bz2", "lzma", "zstd", "blosc", "lz4", "zfpy", "pcodec"}
#: Where the codecs of Zarr 3 keep the decoder.
_DECODERS = ("_gzip_codec", "_zstd_codec", "_blosc_codec", "_codec")
#: Bytes beyond the array's own that a checksum inside the compressed data may take.
_SLACK = 64
_ZSTD_BLOCK = 1 << 17


class BoundedDecoder:
    """A decoder of numcodecs that refuses data which unpack to more than ``limit`` bytes, before they take the memory."""

    def __init__(self, codec: Any, limit: int, path: Path) -> None:
        self._codec, self._limit, self._path = codec, limit, path
        self.codec_id = codec.codec_id

    def encode(self, values: Any) -> Any:
        """Compress."""
        return self._codec.encode(values)

    def decode(self, data: Any, out: Any = None) -> Any:
        """Unpack, or raise FormatError."""
        size = unpacked_size(self.codec_id, np.ascontiguousarray(data).view("u1").data, self._limit)
        if size > self._limit:
            raise FormatError(f"{self._path}: a chunk unpacks to more than the {self._limit} bytes that the array says")
        return self._codec.decode(data, out)


def unpacked_size(name: str, data: memoryview, limit: int) -> int:
    """Return the bytes that ``data`` unpack to, or ``limit + 1`` if they are more; 0 where the decoder itself is bounded."""
    if name in ("gzip", "zlib"):
        return _stream_size(lambda: zlib.decompressobj(47), data, limit)
    if name == "bz2":
        return _stream_size(bz2.BZ2Decompressor, data, limit)
    if name == "lzma":
        return _stream_size(lzma.LZMADecompressor, data, limit)
    if name == "blosc":
        return int.from_bytes(data[4:8], "little")
    if name == "lz4":
        return int.from_bytes(data[:4], "little")
    return _zstd_size(data) if name == "zstd" else 0


def bound_decoders(array: Any, path: Path) -> None:
    """Let all decoders of an open array refuse chunks that unpack to more than the array says.

    Raises
    ------
    FormatError
        If compressors are stacked: the inner one would unpack what the outer one packed, without a bound on the way.
    """
    item = array.dtype.itemsize
    if array.metadata.zarr_format == 2:
        codec = array._async_array.codec_pipeline.array_bytes_codec
        _refuse_stacks([c.codec_id for c in (*(codec.filters or ()), codec.compressor) if c is not None], path)
        if codec.compressor is not None:
            # a filter may widen values to 8 bytes
            limit = math.prod(array.chunks) * max(item, 8) + _SLACK
            object.__setattr__(codec, "compressor", BoundedDecoder(codec.compressor, limit, path))
        return
    _bound_pipeline(array._async_array.codec_pipeline, math.prod(array.shards or array.chunks) * item, item, path)


def _bound_pipeline(pipeline: Any, limit: int, item: int, path: Path) -> None:
    codecs = list(pipeline)
    _refuse_stacks([_name(codec) for codec in codecs], path)
    for codec in codecs:
        if _name(codec) == "sharding_indexed":
            _bound_pipeline(codec.codec_pipeline, math.prod(codec.chunk_shape) * item, item, path)
        for place in _DECODERS:
            if _name(codec) in _COMPRESSORS and hasattr(type(codec), place):
                codec.__dict__[place] = BoundedDecoder(getattr(codec, place), limit + _SLACK, path)


def _name(codec: Any) -> str:
    known = codec.to_dict().get("name", "")
    return str(known).removeprefix("numcodecs.")


def _refuse_stacks(names: list[str], path: Path) -> None:
    stacked = [name for name in names if name in _COMPRESSORS]
    if len(stacked) > 1:
        raise FormatError(f"{path}: compressed by {' and '.join(stacked)} at once, which is not unpacked")


def _stream_size(start: Any, data: memoryview, limit: int) -> int:
    """Unpack in pieces that are thrown away."""
    size, rest = 0, bytes(data)
    while rest:
        stream = start()
        while not stream.eof:
            piece = stream.decompress(rest, 1 << 20)
            size += len(piece)
            if size > limit:
                return limit + 1
            rest = getattr(stream, "unconsumed_tail", b"")
            if not piece and not rest and not stream.eof and getattr(stream, "needs_input", True):
                return size  # truncated: the decoder itself says so
        rest = stream.unused_data
    return size


def _zstd_size(data: memoryview) -> int:
    """Return the sum over frames of the content sizes, or of the most that their blocks can hold where a size is not given."""
    at, total = 0, 0
    while at + 5 <= len(data) and bytes(data[at : at + 4]) == b"\x28\xb5\x2f\xfd":
        flags = data[at + 4]
        single, size_flag = flags >> 5 & 1, flags >> 6
        at += 5 + (0 if single else 1) + (0, 1, 2, 4)[flags & 3]
        width = (1 if single else 0, 2, 4, 8)[size_flag]
        content = int.from_bytes(data[at : at + width], "little") + (256 if width == 2 else 0)
        at += width
        blocks, last = 0, 0
        while not last and at + 3 <= len(data):
            header = int.from_bytes(data[at : at + 3], "little")
            last, kind, size = header & 1, header >> 1 & 3, header >> 3
            at += 3 + (1 if kind == 1 else size)
            blocks += _ZSTD_BLOCK if kind == 2 else size
        at += 4 if flags >> 2 & 1 else 0
        # an unknown size is taken as it may be less: a full block stands for what one can hold
        total += content if width else max(0, blocks - _ZSTD_BLOCK)
    return total
