"""Lines about specimens wider than the detector or the grid."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

import tomoprior
from tomoprior.errors import ResultWarning
from tomoprior.series.field_of_view import describe_field_of_view

HALF = np.linspace(0, np.pi, 60, endpoint=False)
TURN = np.linspace(0, 2 * np.pi, 60, endpoint=False)
U = np.arange(48) - 23.5


def lines(theta: np.ndarray, line: np.ndarray, **more: object) -> list[str]:
    shape = more.pop("shape", (48, 2, 48))
    geometry = tomoprior.Geometry(theta, shape, (2, 48), **more)  # type: ignore[arg-type]
    return describe_field_of_view(np.broadcast_to(line, (len(theta), 2, 48)), geometry)


WIDE, NARROW = np.exp(-(U**2) / (2 * 30**2)), np.exp(-(U**2) / (2 * 4**2))


def test_a_specimen_wider_than_the_detector_is_reported_with_the_grid_that_it_needs() -> None:
    (line,) = lines(HALF, WIDE)
    assert "its borders hold 74 % of the maximum" in line  # exp(-23.5^2 / 1800) is 0.736
    assert "--width 96 --thickness 96" in line


@pytest.mark.parametrize("line", [NARROW, np.zeros(48), np.full(48, np.nan)])
def test_nothing_is_said_where_the_borders_are_empty_or_nothing_is_known(line: np.ndarray) -> None:
    assert lines(HALF, line) == []


def test_nothing_is_said_of_a_section_nor_of_a_grid_that_is_wider_already() -> None:
    assert lines(HALF, WIDE, shape=(16, 2, 48)) == []
    assert lines(HALF, WIDE, shape=(96, 2, 96)) == []


@pytest.mark.parametrize(("center", "width"), [(8.0, 80), (40.0, 80), (12.3, 72)])
def test_half_acquisition_is_reported_with_the_grid_that_it_needs(center: float, width: int) -> None:
    (line,) = lines(TURN, NARROW, center=center)
    assert f"a full turn with the axis at {center:.6g} of 48 pixels" in line
    assert f"--width {width} --thickness {width}" in line
    assert lines(TURN, NARROW, center=center, shape=(width, 2, width)) == []


def test_half_a_turn_with_the_axis_near_an_edge_is_no_half_acquisition() -> None:
    assert lines(HALF, NARROW, center=8.0) == []


def test_a_wider_grid_takes_up_what_lies_beyond_the_detector() -> None:
    theta = np.linspace(0, np.pi, 120, endpoint=False)
    blobs = [(0, 0, 30.0, 1.0), (5, 4, 3.0, 0.5)]
    p = sum(
        a * s * np.sqrt(2 * np.pi) * np.exp(-((U - (x * np.cos(theta) - z * np.sin(theta))[:, None]) ** 2) / (2 * s * s))
        for x, z, s, a in blobs
    )[:, None].astype(np.float32)
    truth = sum(a * np.exp(-((U[None] - x) ** 2 + (U[:, None] - z) ** 2) / (2 * s * s)) for x, z, s, a in blobs)
    middle = np.s_[12:36, 12:36]

    def error(size: int) -> float:
        grid = {"num_gridx": size, "num_gridy": size}
        cut = np.s_[(size - 48) // 2 : (size + 48) // 2]
        volume = tomoprior.recon(p, theta, algorithm="sirt", num_iter=50, **grid)[0][cut, cut]
        return float(np.linalg.norm((volume - truth)[middle]) / np.linalg.norm(truth[middle]))

    with pytest.warns(ResultWarning, match="extends beyond the detector"):
        narrow = error(48)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wide = error(96)
    assert wide < 0.1 < 0.3 < narrow


def test_read_makes_a_grid_of_another_width(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", np.ones((3, 2, 48), np.float32))
    series = tomoprior.read(tmp_path / "s.npy", angles="-60:60:60", width=80, thickness=20)
    assert series.geometry.shape == (20, 2, 80)
    assert series.geometry.detector == (2, 48)
    assert series.binned(2).geometry.shape == (10, 1, 40)
