"""Sinks take regions once, in any order, and know what is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tomoprior.errors import InputError
from tomoprior.formats.raw import RawSink
from tomoprior.formats.sinks import Statistics

SHAPE = (2, 3, 4)
ONES = np.ones(SHAPE, np.float32)


@pytest.fixture
def sink(tmp_path: Path) -> RawSink:
    return RawSink(tmp_path / "raw", 0, SHAPE, np.float32)


def test_missing_rows_are_counted(sink: RawSink) -> None:
    assert sink.missing == 6
    sink[:, 1:3, :] = ONES[:, :2]
    assert sink.missing == 2
    sink[:, 0:1, :] = ONES[:, :1]
    assert sink.missing == 0
    sink.close()


def test_a_region_written_twice_is_refused(sink: RawSink) -> None:
    sink[:, 0:2, :] = ONES[:, :2]
    with pytest.raises(InputError, match="already written"):
        sink[:, 1:3, :] = ONES[:, :2]
    sink.close()


def test_a_closed_sink_takes_nothing(sink: RawSink) -> None:
    sink.close()
    with pytest.raises(InputError, match="closed"):
        sink[:, :, :] = ONES


@pytest.mark.parametrize(
    ("region", "values"),
    [
        (np.s_[0:2], ONES),
        (np.s_[0:2, 0:3, 0], ONES[:, :, 0]),
        (np.s_[0:2, 0:3, 0:3], ONES[:, :, :3]),
        (np.s_[0:3, 0:3, 0:4], np.ones((3, 3, 4))),
        (np.s_[::-1, :, :], ONES),
        (np.s_[:, :, :], ONES.astype(complex)),
        (np.s_[:, :, :], np.full(SHAPE, "text")),
        (np.s_[:, :, :], ONES[0]),
    ],
)
def test_what_does_not_fit(sink: RawSink, region: object, values: np.ndarray) -> None:
    with pytest.raises(InputError):
        sink[region] = values
    assert sink.missing == 6
    sink.close()


def test_numbers_that_would_be_cut_are_refused(tmp_path: Path) -> None:
    sink = RawSink(tmp_path / "raw", 0, SHAPE, np.int16)
    with pytest.raises(InputError, match="do not fit"):
        sink[:, :, :] = ONES
    sink.close()


@given(hnp.arrays(np.float32, (3, 4, 5), elements=st.floats(-1e3, 1e3, width=32)), st.floats(0, 1e6))
def test_statistics_of_pieces_are_those_of_the_whole(values: np.ndarray, offset: float) -> None:
    values = values + np.float32(offset)
    statistics = Statistics()
    for y in range(4):
        statistics.add(values[:, y : y + 1])
    exact = values.astype(np.float64)
    assert statistics.count == 60
    assert (statistics.minimum, statistics.maximum) == (exact.min(), exact.max())
    np.testing.assert_allclose(statistics.mean, exact.mean(), rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(statistics.std, exact.std(), rtol=1e-6, atol=1e-6)


def test_statistics_leave_out_what_is_not_finite() -> None:
    statistics = Statistics()
    statistics.add(np.array([[np.nan, 1.0], [np.inf, 3.0]]))
    statistics.add(np.full((2, 2), np.nan))
    assert (statistics.count, statistics.mean, statistics.std) == (2, 2.0, 1.0)
    assert Statistics().std == 0.0
