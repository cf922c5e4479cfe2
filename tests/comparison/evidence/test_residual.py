"""Residuals of tilts, and which tilts are bad."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tomoprior.comparison.evidence.residual import find_outliers, residual
from tomoprior.projector import Projector

VOLUME = np.random.default_rng(1).random((8, 10, 12), np.float32)
DEGREES = np.arange(-50, 51, 10)


def exact(share, offset=0.0, **options):
    shared = share(DEGREES, **options)
    projections = np.asarray(Projector(shared.series.geometry)(VOLUME + np.float32(offset)))
    return replace(shared.series, projections=projections)


def test_the_true_volume_leaves_nothing(share):
    series = exact(share)
    found = residual(VOLUME, series, Projector(series.geometry))
    assert max(found["residuals"]) < 1e-5
    assert found["calibration"] == pytest.approx([1, 0], abs=1e-4)
    assert found["angles"] == pytest.approx(DEGREES)
    assert found["outliers"] == []


def test_a_scale_and_a_lost_mean_are_no_misfit(share):
    series = exact(share)
    found = residual(2 * (VOLUME - VOLUME.mean()), series, Projector(series.geometry))
    assert found["total"] < 1e-5
    assert found["calibration"] == pytest.approx([0.5, VOLUME.mean()], rel=1e-3)


def test_residuals_are_relative_to_each_tilt(share):
    series = exact(share)
    spoilt = series.projections.copy()
    spoilt[3] *= 1.5  # a third of what is there then is not explained, but for what the common scale takes up
    found = residual(VOLUME, replace(series, projections=spoilt, weights=(np.arange(11) != 3).astype(np.float32)),
                     Projector(series.geometry))  # fmt: skip
    assert found["residuals"][3] == pytest.approx(1 / 3, rel=1e-4)
    assert max(np.delete(found["residuals"], 3)) < 1e-5
    norms = np.sum(spoilt.astype(float) ** 2, (1, 2))
    assert found["total"] == pytest.approx(np.sqrt(norms[3] / 9 / norms.sum()), rel=1e-4)
    assert found["outliers"] == [3]


def values(**changes) -> np.ndarray:
    """Residuals of 21 tilts that rise gently, with some changed by number."""
    v = 0.1 + 0.001 * np.arange(21.0) + 0.0005 * (-1.0) ** np.arange(21)
    for place, value in changes.items():
        v[int(place[1:])] = value
    return v


ANGLES = np.deg2rad(np.arange(-60, 61, 6.0))


def test_good_tilts_are_not_named():
    assert find_outliers(values(), ANGLES) == []


def test_a_bad_tilt_is_named_wherever_it_is():
    for place in (0, 7, 20):
        assert find_outliers(values(**{f"t{place}": 0.5}), ANGLES) == [place]


def test_the_numbers_are_those_of_the_series_not_of_the_sorted_angles():
    order = np.random.default_rng(0).permutation(21)
    assert find_outliers(values(t7=0.5)[order], ANGLES[order]) == [int(np.flatnonzero(order == 7)[0])]


def test_both_limits_have_to_be_passed():
    # the robust standard deviation of the small changes is about 0.0015: a tenth more is far beyond six of them, but no 40 %
    assert find_outliers(values(t7=0.13), ANGLES) == []
    assert find_outliers(values(t7=0.16), ANGLES) == [7]
    rough = values() * np.random.default_rng(1).uniform(0.5, 1.5, 21)  # 40 % more is nothing among these
    assert find_outliers(rough, ANGLES) == []


def test_neighbours_that_a_bad_tilt_raises_are_not_named():
    # excess about 0.4; the neighbours' 0.2 is less than 0.6 of it, 0.3 is more
    assert find_outliers(values(t7=0.5, t8=0.3), ANGLES) == [7]
    assert find_outliers(values(t7=0.5, t8=0.4), ANGLES) == [7, 8]
    assert find_outliers(values(t7=0.5, t10=0.3), ANGLES) == [7, 10]  # three tilts away: not raised by it


def test_a_rise_towards_the_ends_is_normal():
    steep = 0.1 * np.array([3.2, 2.4, 1.6, *np.ones(15), 1.6, 2.4, 3.2])
    assert 0 not in find_outliers(steep, ANGLES)
    assert 20 not in find_outliers(steep, ANGLES)


def test_neighbours_are_those_of_the_angle_whatever_the_order_of_recording():
    """Residuals that grow two-fold at either end; among flat tilts each of them would be bad."""
    smooth = 0.1 * np.array([2.0, 1.5, 1.2, *np.ones(15), 1.2, 1.5, 2.0])
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(21)
        assert find_outliers(smooth[order], ANGLES[order]) == []


def test_few_tilts_name_none():
    assert find_outliers(np.array([0.1, 0.1, 0.1, 0.9, 0.1, 0.1, 0.1]), ANGLES[:7]) == []
    assert find_outliers(np.array([0.1, 0.1, 0.1, 0.9, 0.1, 0.1, 0.1, 0.1]), ANGLES[:8]) == [3]
