"""The scale and the offset that fit the tilts."""

from __future__ import annotations

import numpy as np
import pytest

from tomoprior.comparison.evidence.calibration import broadcast_weights, calibrate, project
from tomoprior.projector import Projector


def tilts(*values) -> np.ndarray:
    """Two tilts of one row and two pixels."""
    return np.array(values, np.float32).reshape(2, 1, 2)


FORWARD, ONES = tilts(1, 2, 3, 4), tilts(1, 1, 2, 2)


def test_an_exact_fit():
    assert calibrate(FORWARD, ONES, 3 * FORWARD + 5 * ONES, None) == pytest.approx((3, 5))


def test_least_squares_by_hand():
    # with A x = (1, -1, 0, 0) and A 1 = (1, 1, 1, 1): a = (p1 - p2) / 2, b = the mean of p
    a, b = calibrate(tilts(1, -1, 0, 0), tilts(1, 1, 1, 1), tilts(5, 1, 2, 4), None)
    assert (a, b) == pytest.approx((2, 3))


@pytest.mark.parametrize("weights", [np.array([1, 0], np.float32), np.array([1, 1, 0, 0], np.float32).reshape(2, 1, 2)])
def test_a_tilt_without_weight_does_not_count(weights):
    spoilt = (3 * FORWARD + 5 * ONES).copy()
    spoilt[1] = 1e3
    assert calibrate(FORWARD, ONES, spoilt, weights) == pytest.approx((3, 5), rel=1e-4)


def test_weights_count_as_squares_that_many_times():
    # a constant alone: the weighted mean of 2 (weight 3) and 6 (weight 1)
    _, b = calibrate(np.zeros((2, 1, 2)), tilts(1, 1, 1, 1), tilts(2, 2, 6, 6), np.array([3, 1], np.float32))
    assert b == pytest.approx(3)


def test_an_empty_volume_has_no_scale():
    assert calibrate(np.zeros((2, 1, 2)), tilts(1, 1, 1, 1), tilts(4, 4, 4, 4), None) == pytest.approx((0, 4))


def test_weights_take_the_shape_of_projections():
    assert broadcast_weights(np.array([1, 2], np.float32)).shape == (2, 1, 1)
    assert broadcast_weights(ONES) is ONES


def test_a_volume_and_a_constant_are_projected(share):
    shared = share([0, 20])
    volume = np.random.default_rng(0).random((8, 10, 12), np.float32)
    projector = Projector(shared.series.geometry)
    forward, ones = project(volume, projector)
    np.testing.assert_array_equal(forward, projector(volume))
    assert ones[0] == pytest.approx(8 * np.ones((10, 12)))  # the thickness in voxels
