"""Lazy arrays index as NumPy does."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tomoprior.errors import FormatError
from tomoprior.formats.raw import RawArray
from tomoprior.storage.lazy import LazyArray, TransposedArray, WrappedArray, one_line

SHAPE = (5, 6, 7)
VALUES = np.arange(210, dtype=np.int16).reshape(SHAPE)


def arrays(tmp_path: Path) -> dict[str, LazyArray]:
    path = tmp_path / "raw.bin"
    path.write_bytes(b"headers!" + VALUES.astype(">i2").tobytes())
    spread = tmp_path / "spread.bin"
    spread.write_bytes(b"".join(b"gap" + VALUES[i].tobytes() for i in reversed(range(5))))
    offsets = np.array([3 + (84 + 3) * (4 - i) for i in range(5)], np.int64)
    turned = tmp_path / "turned.bin"
    turned.write_bytes(VALUES.transpose(2, 0, 1).tobytes())
    return {
        "big-endian": RawArray(path, 8, SHAPE, ">i2"),
        "images apart": RawArray(spread, 0, SHAPE, np.int16, offsets),
        "transposed": TransposedArray(RawArray(turned, 0, (7, 5, 6), np.int16), (1, 2, 0)),
        "wrapped": WrappedArray(VALUES, path),
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LazyArray]:
    return arrays(tmp_path_factory.mktemp("lazy"))


@settings(deadline=None, max_examples=150)
@given(
    key=hnp.basic_indices(SHAPE, allow_newaxis=False),
    name=st.sampled_from(["big-endian", "images apart", "transposed", "wrapped"]),
)
def test_basic_indices(made: dict[str, LazyArray], key: object, name: str) -> None:
    found = made[name][key]
    np.testing.assert_array_equal(found, VALUES[key])
    assert found.dtype == np.int16
    assert np.asarray(found).dtype.isnative


@pytest.mark.parametrize(
    "key",
    [
        [0, 2],
        [4, 0, 0, -1],
        np.array([True, False, True, True, False]),
        (slice(None), [1, 5, 2]),
        ([3, 1], slice(1, 4), 2),
        (slice(None), slice(None), np.array([6, 0])),
        ([1, 2], [3, 4]),
        [],
    ],
)
def test_lists(made: dict[str, LazyArray], key: object) -> None:
    for data in made.values():
        np.testing.assert_array_equal(data[key], VALUES[key])


@pytest.mark.parametrize(
    "key", [5, -6, (0, 6), (0, 0, 0, 0), 1.5, "a", None, [[0]], [7], (..., ...), [0.5], np.array([True, False])]
)
def test_indices_that_do_not_exist(made: dict[str, LazyArray], key: object) -> None:
    for data in made.values():
        with pytest.raises(IndexError):
            data[key]


def test_what_arrays_are_asked(made: dict[str, LazyArray]) -> None:
    for data in made.values():
        assert (data.ndim, data.size, data.nbytes, len(data)) == (3, 210, 420, 5)
        assert np.array_equal(np.asarray(data, dtype=np.float32), VALUES.astype(np.float32))
        assert "(5, 6, 7)" in repr(data)
        assert np.array_equal(pickle.loads(pickle.dumps(data))[2], VALUES[2])
        with pytest.raises(ValueError, match="copy"):
            np.array(data, copy=False)


def test_a_file_that_shrinks_or_goes_is_an_error(tmp_path: Path) -> None:
    data = arrays(tmp_path)["big-endian"]
    raw = (tmp_path / "raw.bin").read_bytes()
    (tmp_path / "raw.bin").write_bytes(raw[:100])
    with pytest.raises(FormatError, match=r"raw\.bin: the file ends at byte 100"):
        data[:]
    assert np.array_equal(data[0, 0], VALUES[0, 0])
    (tmp_path / "raw.bin").unlink()
    with pytest.raises(FormatError, match=r"raw\.bin: cannot be read \(No such file"):
        data[:]


def test_one_line() -> None:
    assert one_line(ValueError("a\n  b")) == "a b"
    assert one_line(ValueError()) == "ValueError"
    assert one_line(OSError(27, "a whole\npage")) == "File too large"
    assert len(one_line(ValueError("x" * 1000))) == 200
