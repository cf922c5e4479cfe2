"""Runs that explain nothing say so."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import tomoprior
from tomoprior.errors import ResultWarning
from tomoprior.running.doubts import describe_fit

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
