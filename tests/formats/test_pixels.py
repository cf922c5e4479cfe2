"""Dead pixels are counted and mended, and counts are told from line integrals."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tomoprior.errors import InputError
from tomoprior.formats import Header, read, writing
from tomoprior.geometry import Geometry
from tomoprior.series import TiltSeries
from tomoprior.series.pixels import describe_pixels, repair_pixels


def series(values: np.ndarray, **metadata: object) -> TiltSeries:
    n, ny, nu = values.shape
    return TiltSeries(values, Geometry(np.linspace(-1, 1, n), (nu, ny, nu), (ny, nu)), metadata=metadata)


def smooth(n: int = 4, ny: int = 20, nu: int = 30) -> np.ndarray:
    y, x = np.mgrid[:ny, :nu]
    return np.stack([0.02 * y + 0.01 * x + 0.1 * i for i in range(n)]).astype(np.float32)


def test_nothing_to_say_about_line_integrals() -> None:
    report = describe_pixels(series(smooth() - 0.05))
    assert report.looks_like == "line integrals"
    assert report.warnings == ()
    assert report.n_bad == 0
    np.testing.assert_allclose([report.minimum, report.maximum], [-0.05, 0.92], atol=1e-6)
    np.testing.assert_allclose(report.mean, (smooth() - 0.05).mean(), rtol=1e-5)


def test_bad_pixels_are_counted_by_tilt() -> None:
    values = smooth()
    values[1, 3, 4] = np.nan
    values[1, 3, 5] = np.inf
    values[3, :2] = np.nan
    report = describe_pixels(series(values))
    np.testing.assert_array_equal(report.nan, [0, 1, 0, 60])
    np.testing.assert_array_equal(report.infinite, [0, 1, 0, 0])
    assert "62 pixels are not finite: 61 NaN, 1 infinite, in tilts 1, 3" in report.warnings[0]
    assert np.isfinite(report.mean)
    with_log = describe_pixels(series(values, attrs={"minus_log": True}))
    assert "zero or less has no logarithm" in with_log.warnings[0]


def test_a_tilt_of_nothing() -> None:
    values = smooth()
    values[2] = np.nan
    report = describe_pixels(series(values))
    assert "without a finite pixel: 2" in report.warnings[1]
    with pytest.raises(InputError, match="tilt 2 has no finite pixel"):
        repair_pixels(series(values))
    everything = describe_pixels(series(np.full((2, 3, 4), np.nan, np.float32)))
    assert np.isnan([everything.minimum, everything.maximum, everything.mean]).all()
    assert everything.n_bad == 24


def test_values_that_are_not_line_integrals() -> None:
    counts = (smooth() * 1000 + 200).astype(np.uint16)
    assert describe_pixels(series(counts)).looks_like == "counts"
    assert "HAADF" in describe_pixels(series(counts)).warnings[0]
    assert describe_pixels(series(counts.astype(np.float32), counts=True)).looks_like == "counts"
    x = np.abs(np.linspace(-1, 1, 60))
    rod = np.sqrt(np.clip(0.25 - x**2, 0, None)).astype(np.float32) * np.ones((5, 8, 1), np.float32)
    transmission = describe_pixels(series(np.exp(-rod)))
    assert transmission.looks_like == "transmissions"
    assert "minus_log" in transmission.warnings[0]
    assert describe_pixels(series(rod)).looks_like == "line integrals"
    assert "same value" in describe_pixels(series(np.zeros((2, 3, 4), np.float32))).warnings[0]


def test_real_series(data_dir: Path) -> None:
    savu = read(data_dir / "savu_24737" / "savu_24737.h5")
    report = describe_pixels(savu)
    assert report.looks_like == "transmissions"
    np.testing.assert_array_equal(report.nan, 1)
    mended = repair_pixels(savu)
    assert describe_pixels(mended).n_bad == 0
    assert mended.metadata["repaired_pixels"] == 91
    tooth = data_dir / "tooth" / "tooth.h5"
    assert describe_pixels(read(tooth)).looks_like == "transmissions"
    assert describe_pixels(read(tooth, normalize=False)).looks_like == "counts"
    assert describe_pixels(read(tooth, minus_log=True)).looks_like == "line integrals"
    assert describe_pixels(read(data_dir / "needle" / "needle_raw.mrc")).looks_like == "counts"


def median_around(image: np.ndarray, y: int, x: int) -> float:
    """The definition, written plainly."""
    for radius in range(1, 5):
        window = image[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
        finite = window[np.isfinite(window)]
        if len(finite) >= 3:
            return float(np.median(finite))
    return np.nan


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_median_of_the_neighbours(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 3), st.integers(2, 7), st.integers(2, 7)))
    values = np.random.default_rng(data.draw(st.integers(0, 9))).normal(size=shape).astype(np.float32)
    places = data.draw(st.lists(st.tuples(*(st.integers(0, n - 1) for n in shape)), max_size=shape[1] * shape[2] - 3))
    for place in places:
        values[place] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    if any(np.count_nonzero(np.isfinite(image)) < 3 for image in values):
        return
    before = values.copy()
    mended = repair_pixels(series(values))
    np.testing.assert_array_equal(values, before)  # the input is not touched
    expected = values.copy()
    for i, y, x in zip(*np.nonzero(~np.isfinite(values)), strict=True):
        expected[i, y, x] = median_around(values[i], y, x)
    known = np.isfinite(expected)
    np.testing.assert_allclose(np.asarray(mended.projections)[known], expected[known], rtol=1e-6)
    assert np.isfinite(np.asarray(mended.projections)).all()


def test_large_holes_and_almost_empty_tilts() -> None:
    values = smooth()
    values[0, 2:18, 5:25] = np.nan
    values[1] = np.nan
    values[1, 0, 0] = 7.0
    mended = np.asarray(repair_pixels(series(values)).projections)
    assert np.isfinite(mended).all()
    assert (mended[1] == 7.0).all()
    assert np.abs(mended[0] - smooth()[0]).max() < 0.2


def test_a_clean_series_is_given_back() -> None:
    for values in (smooth(), smooth().astype(np.int16)):
        clean = series(values)
        assert repair_pixels(clean) is clean


def test_a_series_in_a_file_is_mended_region_by_region(tmp_path: Path) -> None:
    values = smooth()
    rng = np.random.default_rng(0)
    values[tuple(rng.integers(0, n, 40) for n in values.shape)] = np.nan
    path = tmp_path / "a.npy"
    with writing(path, Header(values.shape, angles=np.linspace(-1, 1, 4))) as sink:
        sink[:, :, :] = values
    lazy, whole = repair_pixels(read(path)), repair_pixels(series(values))
    assert not isinstance(lazy.projections, np.ndarray)
    for key in (np.s_[...], np.s_[:, 3:5], np.s_[2], np.s_[[3, 0], :, 7], np.s_[1, 2, 3], np.s_[::2, ::-1, 4:9]):
        np.testing.assert_array_equal(lazy.projections[key], whole.projections[key])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(lazy.projections))[:], whole.projections)
    np.testing.assert_array_equal(lazy.rows(2, 6).projections, whole.projections[:, 2:6])
    again = repair_pixels(replace(lazy, metadata=lazy.metadata))
    assert again is lazy or again.metadata["repaired_pixels"] == lazy.metadata["repaired_pixels"]
