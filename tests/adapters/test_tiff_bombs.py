"""Strips that unpack to far more than their page says are refused before they take the memory."""

from __future__ import annotations

import lzma
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from tomoprior.errors import FormatError
from tomoprior.formats import open_stack

BOMB = 64 << 20
IMAGE = np.arange(64, dtype=np.uint8).reshape(8, 8)


def pack_bits(content: bytes) -> bytes:
    """128 bytes at a time: a run where they are equal, else the bytes themselves."""
    packed = bytearray()
    for start in range(0, len(content), 128):
        part = content[start : start + 128]
        is_run = len(set(part)) == 1 and len(part) > 1
        packed += bytes([257 - len(part), part[0]]) if is_run else bytes([len(part) - 1]) + part
    return bytes(packed)


PACK = {8: zlib.compress, 32946: zlib.compress, 34925: lzma.compress, 32773: pack_bits}


def write_tiff(path: Path, compression: int, content: bytes) -> None:
    """A page of 8 x 8 bytes in one strip."""
    strip = PACK[compression](content)
    strip += b"\0" * (len(strip) % 2)
    entries = [
        (256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1), (273, 4, 1, 8),
        (277, 3, 1, 1), (278, 3, 1, 8), (279, 4, 1, len(strip)),
    ]  # fmt: skip
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + directory)


@pytest.mark.parametrize("compression", PACK)
def test_a_strip_is_bounded_by_its_page(tmp_path: Path, compression: int) -> None:
    write_tiff(tmp_path / "good.tif", compression, IMAGE.tobytes())
    np.testing.assert_array_equal(open_stack(tmp_path / "good.tif").data[0], IMAGE)
    write_tiff(tmp_path / "bomb.tif", compression, bytes(BOMB))
    stack = open_stack(tmp_path / "bomb.tif")
    tracemalloc.start()
    with pytest.raises(FormatError, match="a strip unpacks to more than the 64 bytes that its page says"):
        stack.data[...]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < BOMB / 4


@pytest.mark.parametrize("compression", PACK)
def test_padding_behind_the_last_row_is_ignored(tmp_path: Path, compression: int) -> None:
    write_tiff(tmp_path / "padded.tif", compression, IMAGE.tobytes() + bytes(100))
    np.testing.assert_array_equal(open_stack(tmp_path / "padded.tif").data[0], IMAGE)
