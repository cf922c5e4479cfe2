"""Chunks that unpack to far more than their array says are refused before they take the memory."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr

from tomoprior.adapters.zarr.bounded import unpacked_size
from tomoprior.errors import FormatError
from tomoprior.formats import open_stack

#: What a bomb unpacks to, against 256 bytes that the array says.
BOMB = 64 << 20
SHAPE = (4, 4, 4)
VALUES = np.arange(64, dtype=np.float32).reshape(SHAPE)
ZEROS = bytes(BOMB)
CODECS = {
    "gzip": numcodecs.GZip(),
    "zlib": numcodecs.Zlib(),
    "bz2": numcodecs.BZ2(),
    "lzma": numcodecs.LZMA(),
    "zstd": numcodecs.Zstd(),
    "blosc": numcodecs.Blosc(),
    "lz4": numcodecs.LZ4(),
}


def create(path: Path, version: int, codec: Any, **more: Any) -> None:
    array = zarr.create_array(
        str(path), shape=SHAPE, chunks=SHAPE, dtype="f4", zarr_format=version, compressors=codec, fill_value=0, **more
    )
    array[...] = VALUES


def refuse_without_memory(path: Path, match: str = "unpacks to more than") -> None:
    stack = open_stack(path)
    tracemalloc.start()
    with pytest.raises(FormatError, match=match):
        stack.data[...]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < BOMB / 4


@pytest.mark.parametrize("name", CODECS)
def test_a_chunk_of_version_2_is_bounded_by_its_array(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.zarr"
    create(path, 2, CODECS[name])
    np.testing.assert_array_equal(open_stack(path).data[...], VALUES)
    (chunk,) = [file for file in path.iterdir() if not file.name.startswith(".")]
    chunk.write_bytes(CODECS[name].encode(ZEROS))
    refuse_without_memory(path)


@pytest.mark.parametrize("name", ["gzip", "zstd", "blosc"])
@pytest.mark.parametrize("shards", [None, SHAPE])
def test_a_chunk_of_version_3_is_bounded_by_its_array(tmp_path: Path, name: str, shards: Any) -> None:
    path = tmp_path / "a.zarr"
    codec = {"gzip": zarr.codecs.GzipCodec(), "zstd": zarr.codecs.ZstdCodec(), "blosc": zarr.codecs.BloscCodec()}[name]
    create(path, 3, codec, **({} if shards is None else {"shards": shards}))
    np.testing.assert_array_equal(open_stack(path).data[...], VALUES)
    chunk = path / "c/0/0/0"
    bomb = bytes(CODECS[name].encode(ZEROS))
    if shards is not None:  # one inner chunk, then its place and size, and the checksum of the index
        index = np.array([0, len(bomb)], "<u8").tobytes()
        bomb += index + int(numcodecs.CRC32C().encode(index)[-4:].view("<u4")[0]).to_bytes(4, "little")
    chunk.write_bytes(bomb)
    refuse_without_memory(path)


def test_stacked_compressors_are_refused(tmp_path: Path) -> None:
    create(tmp_path / "three.zarr", 3, [zarr.codecs.GzipCodec(), zarr.codecs.ZstdCodec()])
    create(tmp_path / "two.zarr", 2, CODECS["zstd"])
    text = json.loads((tmp_path / "two.zarr/.zarray").read_text())
    (tmp_path / "two.zarr/.zarray").write_text(json.dumps({**text, "filters": [{"id": "gzip", "level": 1}]}))
    for name, words in (("three", "gzip and zstd"), ("two", "gzip and zstd")):
        with pytest.raises(FormatError, match=f"compressed by {words} at once"):
            open_stack(tmp_path / f"{name}.zarr")


def test_an_array_with_bounds_can_be_sent_to_a_worker(tmp_path: Path) -> None:
    import pickle

    for version, codec in ((2, CODECS["zstd"]), (3, zarr.codecs.ZstdCodec())):
        create(tmp_path / f"{version}.zarr", version, codec)
        data = pickle.loads(pickle.dumps(open_stack(tmp_path / f"{version}.zarr").data))
        np.testing.assert_array_equal(data[...], VALUES)


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("size", [1, 300, 70_000, 400_000])
def test_the_size_is_known_before_data_are_unpacked(name: str, size: int) -> None:
    packed = memoryview(bytes(CODECS[name].encode(np.arange(size, dtype="u1"))))
    assert unpacked_size(name, packed, 1 << 20) == size
    assert unpacked_size(name, packed, size - 1) >= size


def test_zstd_without_a_content_size_is_bounded_by_its_blocks() -> None:
    # magic, a descriptor without a size, a window; 1000 blocks that repeat a byte 2^17 times; the last is empty
    block = ((1 << 17) << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    frame = b"\x28\xb5\x2f\xfd\x00\x38" + 1000 * block + b"\x01\x00\x00"
    assert unpacked_size("zstd", memoryview(frame), 1 << 20) == 999 << 17
