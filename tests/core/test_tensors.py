"""Files of arrays: a round trip keeps bits and values; a header that lies is one line before anything is allocated."""

from __future__ import annotations

import json
import os
import random
import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from tomoprior.errors import FormatError, NoSuchFileError
from tomoprior.storage.tensors import load_tensors, read_header, save_tensors

KEY = "values"
A, B = torch.arange(6, dtype=torch.float32).reshape(2, 3), torch.tensor([True, False])


def entry(dtype: Any = "F32", shape: Any = (2, 3), offsets: Any = (0, 24)) -> dict[str, Any]:
    return {
        "dtype": dtype,
        "shape": list(shape) if isinstance(shape, tuple) else shape,
        "data_offsets": list(offsets) if isinstance(offsets, tuple) else offsets,
    }


def header(**changes: Any) -> dict[str, Any]:
    """A header of ``a``, 24 bytes, and ``b``, 2 bytes, with some entries replaced."""
    return {"__metadata__": {KEY: "{}"}, "a": entry(), "b": entry("BOOL", (2,), (24, 26)), **changes}


def without(name: str, values: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if k != name}


def write(path: Path, head: Any, data: int = 26, length: int | None = None) -> Path:
    """A file with ``head`` and ``data`` bytes of arrays, whose first eight bytes are the header's length or ``length``."""
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + bytes(data))
    return path


def test_arrays_and_values_come_back(tmp_path: Path) -> None:
    arrays = {"a": A, "b": B, "none": torch.zeros(0, 3), "half": A.bfloat16(), "number": torch.tensor(3, dtype=torch.int64)}
    save_tensors(tmp_path / "t", KEY, {"x": [1, 2.5], "y": None}, arrays, overwrite=False)
    values, loaded = load_tensors(tmp_path / "t", KEY)
    assert values == {"x": [1, 2.5], "y": None}
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype
        assert torch.equal(loaded[name], array)


def test_the_plain_header_of_the_tests_is_read(tmp_path: Path) -> None:
    values, loaded = load_tensors(write(tmp_path / "t", header()), KEY)
    assert values == {}
    assert torch.equal(loaded["a"], torch.zeros(2, 3))


def test_a_header_is_read_without_the_arrays(tmp_path: Path) -> None:
    text, arrays = read_header(write(tmp_path / "t", header()), KEY)
    assert text == "{}"
    assert arrays == {"a": ((2, 3), "F32"), "b": ((2,), "BOOL")}


BAD = {
    "no name": header(a={}),
    "a list for an entry": header(a=[1, 2]),
    "a number for an entry": header(a=1),
    "null for an entry": header(a=None),
    "no type": header(a=without("dtype", entry())),
    "no shape": header(a=without("shape", entry())),
    "no offsets": header(a=without("data_offsets", entry())),
    "a field too many": header(a={**entry(), "code": "import os"}),
    "an unknown type": header(a=entry("X32")),
    "a type of complex numbers": header(a=entry("C64", (3,), (0, 24))),
    "a type of another size": header(a=entry("F64")),
    "a smaller type": header(a=entry("F16")),
    "a type in lower case": header(a=entry("f32")),
    "a list for a type": header(a=entry(["F32"])),
    "an object for a type": header(a=entry({"F32": 1})),
    "a negative size": header(a=entry(shape=(-2, -3))),
    "one negative size": header(a=entry(shape=(-2, 3))),
    "a fraction for a size": header(a=entry(shape=(2.0, 3.0))),
    "a text for a size": header(a=entry(shape=("2", 3))),
    "true for a size": header(a=entry("F64", (True, 3))),
    "a number for a shape": header(a=entry(shape=6)),
    "a text for a shape": header(a=entry(shape="23")),
    "a huge size": header(a=entry(shape=(2**62, 3))),
    "a size beyond 64 bits": header(a=entry(shape=(2**70, 3))),
    "sizes whose product overflows to 6": header(a=entry(shape=(2**63 + 3, 2))),
    "an empty array of huge sizes": header(a=entry(shape=(0, 2**61, 4), offsets=(0, 0))),
    "too many axes": header(a=entry(shape=tuple([1] * 500 + [6]))),
    "a shape one short": header(a=entry(shape=(2, 2))),
    "offsets beyond the file": header(a=entry(shape=(1000, 1000), offsets=(0, 4_000_000))),
    "offsets that start beyond the file": header(a=entry(offsets=(10_000, 10_024))),
    "negative offsets": header(a=entry(offsets=(-24, 0))),
    "offsets in falling order": header(a=entry(offsets=(24, 0))),
    "one offset": header(a=entry(offsets=(24,))),
    "three offsets": header(a=entry(offsets=(0, 12, 24))),
    "fractions for offsets": header(a=entry(offsets=(0.0, 24.0))),
    "a text for offsets": header(a=entry(offsets="024")),
    "huge offsets": header(a=entry(offsets=(2**64, 2**64 + 24))),
    "arrays that overlap": header(b=entry("BOOL", (2,), (22, 24))),
    "an array twice": header(c=entry()),
    "a gap": header(b=entry("BOOL", (1,), (25, 26))),
    "bytes that belong to no array": without("b", header()),
    "metadata that are a list": header(__metadata__=[1]),
    "metadata that are null": header(__metadata__=None),
    "metadata with a number": header(__metadata__={KEY: 1}),
    "metadata with an object": header(__metadata__={KEY: {}}),
    "no metadata": without("__metadata__", header()),
    "other metadata": header(__metadata__={"other": "{}"}),
    "values that are no JSON": header(__metadata__={KEY: "{"}),
    "values that are a list": header(__metadata__={KEY: "[]"}),
    "values that are nested": header(__metadata__={KEY: "[" * 100_000}),
    "values nested and closed": header(__metadata__={KEY: '{"a":' * 200 + "1" + "}" * 200}),
    "a list": [1],
    "a number": 1,
    "an entry twice": json.dumps(header()).replace('"b"', '"a"').encode(),
    "a nested header": b"[" * 100_000,
    "a nested entry": b'{"a":' * 100_000,
    "no JSON": b"{no such thing}",
    "not UTF-8": b'{"\xff": 1}',
    "a number of many digits": b'{"a": 1' + b"0" * 10_000 + b"}",
    "nothing": b"",
}


@pytest.mark.parametrize("name", BAD)
def test_a_header_that_lies_is_one_line(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("the library opened a file whose header is wrong")

    monkeypatch.setattr("safetensors.safe_open", never)
    with pytest.raises(FormatError) as caught:
        load_tensors(write(tmp_path / "t", BAD[name]), KEY)
    assert "\n" not in str(caught.value)
    assert f"{tmp_path}/t: not a file saved by tomoprior (" in str(caught.value)
    assert len(str(caught.value)) <= 250 + len(str(tmp_path))


@pytest.mark.parametrize("length", [0, 1, 10**6, 2**31, 2**63, 2**64 - 1])
def test_the_length_of_the_header_is_held_against_the_file(tmp_path: Path, length: int) -> None:
    with pytest.raises(FormatError):
        load_tensors(write(tmp_path / "t", header(), length=length), KEY)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 50, -1])
def test_a_file_cut_short_is_one_line(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "t", header())
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(FormatError) as caught:
        load_tensors(path, KEY)
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_an_error_and_no_wait(tmp_path: Path) -> None:
    with pytest.raises(NoSuchFileError, match=r"none: no such file"):
        load_tensors(tmp_path / "none", KEY)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(FormatError, match="not a regular file"):
            load_tensors(path, KEY)


def test_a_damaged_file_is_read_or_one_line(tmp_path: Path) -> None:
    """Five hundred files with one to four damaged bytes of the header, each drawn from a fixed seed."""
    draw, path = random.Random(0), tmp_path / "t"
    save_tensors(path, KEY, {"x": [1, 2.5], "name": "b"}, {"a": A, "b": B, "c": A.half()}, overwrite=False)
    whole = path.read_bytes()
    end = 8 + struct.unpack("<Q", whole[:8])[0]
    messages = []
    for _ in range(500):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            at, digits = draw.randrange(end), b'0123456789-{}[]":,.eE'
            content[at] = draw.choice([draw.randrange(256), draw.choice(digits), content[at] ^ (1 << draw.randrange(8))])
        path.write_bytes(content)
        try:
            values, arrays = load_tensors(path, KEY)
        except FormatError as error:
            messages.append(str(error))
        else:
            assert isinstance(values, dict)
            assert sum(array.nbytes for array in arrays.values()) <= len(whole)
    assert len(messages) > 250
    assert all(text.startswith(f"{path}: not a file saved by tomoprior (") and "\n" not in text for text in messages)
