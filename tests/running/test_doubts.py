"""Runs that explain nothing say so."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import tomoprior
from tomoprior import Geometry, TiltSeries
from tomoprior.errors import InputError, ResultWarning
from tomoprior.running.doubts import describe_fit, describe_geometry
from tomoprior.series.pixels import describe_pixels
from tomoprior.storage.arrays import detach

THETA = np.deg2rad(np.arange(-60.0, 61.0, 6.0))
U = np.arange(32) - 15.5
BRIGHT = np.repeat(np.exp(-((U - 4 * np.cos(THETA)[:, None]) ** 2) / 8)[:, None], 2, 1).astype(np.float32)
SERIES = tomoprior.TiltSeries(-BRIGHT, tomoprior.Geometry(THETA, (16, 2, 32)))


@pytest.mark.parametrize("method", ["tv", "sirt"])
def test_a_dark_specimen_under_a_bound_of_zero_gives_a_warning_that_names_invert(method: str) -> None:
    with pytest.warns(ResultWarning, match=r"volume is zero \(residual 1\).*--invert"):
        result = tomoprior.reconstruct(SERIES, method, num_iter=3, min_constraint=0)
    assert not result.volume.any()
    with pytest.warns(ResultWarning, match="--invert"):
        tomoprior.recon(-BRIGHT, THETA, algorithm=method, num_iter=3, min_constraint=0)


def test_slabs_give_the_same_warning(tmp_path: object) -> None:
    with pytest.warns(ResultWarning, match="volume is zero"):
        tomoprior.reconstruct(SERIES, "sirt", num_iter=3, min_constraint=0, out=f"{tmp_path}/v.npy", slab=1)


def test_a_bright_specimen_gives_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tomoprior.reconstruct(tomoprior.TiltSeries(BRIGHT, SERIES.geometry), "sirt", num_iter=30, min_constraint=0)


@pytest.mark.parametrize(
    ("residual", "bound", "words"),
    [
        (1.0, 0.0, "the volume is zero"),
        (0.95, 0.0, "explains next to nothing of the projections (residual 0.95)"),
        (1.0, None, "explains next to nothing of the projections (residual 1)"),
        (1.7, 0.0, "explains next to nothing of the projections (residual 1.7)"),
    ],
)
def test_the_line_depends_on_the_residual_and_the_bound(residual: float, bound: float | None, words: str) -> None:
    (line,) = describe_fit({"residual": residual, "settings": {"min_constraint": bound}})
    assert line.startswith(words) or words in line
    assert "--invert" in line


@pytest.mark.parametrize("record", [{}, {"residual": None}, {"residual": 0.9}, {"residual": float("nan")}])
def test_nothing_is_said_of_a_good_or_an_unknown_residual(record: dict[str, object]) -> None:
    assert describe_fit(record) == []


def test_a_bound_that_the_tilts_chose_counts_as_a_bound() -> None:
    record = {"residual": 1.0, "settings": {"min_constraint": "auto"}, "settled": {"min_constraint": 0.0}}
    assert describe_fit(record)[0].startswith("the volume is zero")
    record["settled"] = {"min_constraint": None}
    assert "explains next to nothing" in describe_fit(record)[0]


@pytest.mark.parametrize(
    ("angles", "center", "words"),
    [
        (np.full(5, 0.3), None, "all 5 tilts have the angle 17.1887 degrees"),
        (np.linspace(-8, 8, 17), None, "look like degrees"),
        (np.deg2rad(np.arange(-60, 61, 10)), 0.0, "the rotation axis at 0 is not within the detector of 16 pixels"),
        (np.deg2rad(np.arange(-60, 61, 10)), -2.5, "the rotation axis at -2.5 is not"),
        (np.deg2rad(np.arange(-60, 61, 10)), 16.0, "and the middle is 8"),
    ],
)
def test_a_geometry_that_cannot_be_meant_is_named(angles, center, words):
    geometry = Geometry(angles, (8, 2, 16), center=center)
    assert words in " ".join(describe_geometry(geometry))
    series = TiltSeries(np.zeros(geometry.range_shape, np.float32), geometry)
    with pytest.warns(ResultWarning, match=words):
        tomoprior.reconstruct(series, "sirt", num_iter=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tomoprior.recon(series.projections, angles, center, algorithm="sirt", num_iter=1)
    assert any(words in str(line.message) for line in caught)


def test_an_ordinary_geometry_gives_no_line():
    for center in (None, 0.5, 15.5):
        assert describe_geometry(Geometry(np.deg2rad(np.arange(-60, 61, 10)), (8, 2, 16), center=center)) == []
    assert describe_geometry(Geometry([0.1], (8, 2, 16))) == []


@pytest.mark.parametrize("low", [-8000, -30000])
def test_whole_numbers_below_zero_ask_for_their_background(low):
    geometry = Geometry(np.deg2rad(np.arange(-60, 61, 10)), (8, 2, 16))
    values = np.full(geometry.range_shape, low, np.int16)
    values[:, :, 6:10] = low // 2
    report = describe_pixels(TiltSeries(values, geometry))
    assert report.warnings[0] == (
        f"values from {low} to {low // 2} are mostly below zero, where a projection is not: subtract the background "
        "(--subtract auto)"
    )
    assert not any("below zero" in line for line in describe_pixels(TiltSeries(values - low, geometry)).warnings)
    assert not any("below zero" in line for line in describe_pixels(TiltSeries(np.sin(values * 1.0), geometry)).warnings)


def test_tensors_without_a_plain_layout_are_taken_or_refused():
    geometry = Geometry(np.deg2rad(np.arange(-60, 61, 10)), (8, 2, 16))
    values = torch.rand(geometry.range_shape, generator=torch.Generator().manual_seed(0))
    for tensor in (values.to_sparse(), values):
        np.testing.assert_array_equal(detach(tensor), values.numpy())
    with pytest.raises(InputError, match="meta has no values"):
        detach(values.to("meta"))
