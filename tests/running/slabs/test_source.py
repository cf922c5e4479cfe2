"""A slab's rows are read where they are needed, and an input is recognised by its content."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from tomoprior.errors import InputError
from tomoprior.running.slabs import source


def test_rows_are_read_as_contiguous_float32():
    array = np.arange(60, dtype=np.int16).reshape(3, 5, 4)
    rows = source.read_rows(array, 1, 3)
    assert rows.dtype == np.float32
    assert rows.flags.c_contiguous
    np.testing.assert_array_equal(rows, array[:, 1:3])


def test_values_that_are_not_finite_are_refused_with_their_tilts():
    array = np.zeros((12, 4, 4), np.float32)
    array[1, 2, 3], array[5, 2, :2] = np.nan, np.inf
    np.testing.assert_array_equal(source.read_rows(array, 0, 2), 0)
    with pytest.raises(InputError, match=r"3 pixel\(s\) in rows 2 to 4 are NaN or infinite, in tilts 1, 5; --repair"):
        source.read_rows(array, 2, 4)
    array[:, 3] = np.nan
    with pytest.raises(InputError, match=r"in tilts 0, 1, 2, 3, 4, 5, 6, 7, \.\.\."):
        source.read_rows(array, 2, 4)


def test_small_arrays_are_sent_and_large_ones_are_copied_to_the_disk(tmp_path):
    def weight(thing):
        return len(pickle.dumps(thing))

    small, large = np.ones((2, 3, 4), np.float32), np.arange(2 * 3 * 50_000, dtype=np.float32).reshape(2, 3, 50_000)
    assert source.portable(None, tmp_path, "a", weight) is None
    assert source.portable(small, tmp_path, "a", weight) is small
    copy = source.portable(large, tmp_path, "b", weight)
    np.testing.assert_array_equal(copy[...], large)
    assert [p.name for p in tmp_path.iterdir()] == ["b.npy"]
    assert weight(copy) < 10_000
    # a copy of an earlier run is used again
    np.save(tmp_path / "b.npy", 2 * large)
    np.testing.assert_array_equal(source.portable(large, tmp_path, "b", weight)[...], 2 * large)


def test_an_array_that_cannot_be_sent_is_copied(tmp_path):
    def weight(thing):
        raise TypeError("no pickle")

    class Open:
        shape, dtype = (2, 3, 4), np.dtype(np.int16)

        def __getitem__(self, key):
            return np.full((2, 3, 4), 7, np.int16)[key]

    np.testing.assert_array_equal(source.portable(Open(), tmp_path, "c", weight)[...], 7)


def test_a_fingerprint_tells_content_shape_and_type_apart():
    a = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    changed = a.copy()
    changed[1, 1, 1] += 1
    prints = [source.fingerprint(v) for v in (a, changed, a.reshape(3, 2, 4), a.astype(np.float64))]
    assert len({str(p) for p in prints}) == 4
    assert source.fingerprint(None) is None
    assert source.fingerprint(a.copy()) == prints[0]


def test_of_a_large_array_the_first_and_last_rows_count_and_few_are_read(monkeypatch):
    monkeypatch.setattr(source, "LARGE", 0)
    a = np.zeros((100, 50, 4), np.float32)
    reads = []

    class Counted:
        shape, dtype = a.shape, a.dtype

        def __getitem__(self, key):
            reads.append(key)
            return a[key]

    known = source.fingerprint(Counted())
    assert len(reads) == 8 * 4
    for place in ((0, 0, 0), (0, 49, 3), (99, 0, 0), (99, 49, 3)):
        a[place] = 1
        assert source.fingerprint(a) != known
        a[place] = 0
