"""How much of the half-circle each tilt stands for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tomoprior.methods.classical import angular

DEG = np.pi / 180


def weights(degrees):
    """In degrees, for legibility."""
    return angular.compute_angular_weights(np.asarray(degrees, float) * DEG) / DEG


@pytest.mark.parametrize("n", [2, 3, 7, 60, 181])
@pytest.mark.parametrize("start", [0.0, -90.0, -90.5, 13.7])
def test_a_full_even_range_shares_the_half_circle(n, start):
    found = weights(start + np.arange(n) * 180 / n)
    np.testing.assert_allclose(found, 180 / n, rtol=1e-9)
    assert found.sum() == pytest.approx(180)


def test_one_tilt_stands_for_everything():
    assert weights([12.0]).tolist() == [180.0]


def test_a_limited_range_counts_its_end_tilts_as_whole_steps():
    np.testing.assert_allclose(weights(np.arange(-60, 61, 3)), 3)


def test_uneven_tilts_get_half_of_either_gap():
    np.testing.assert_allclose(weights([-60, -59, -57, -54, -52]), [1, 1.5, 2.5, 2.5, 2])


def test_a_tilt_left_out_is_taken_over_by_its_neighbours():
    degrees = np.delete(np.arange(-60, 61, 3), 20)
    found = weights(degrees)
    assert found[[19, 20]] == pytest.approx([4.5, 4.5])
    np.testing.assert_allclose(np.delete(found, [19, 20]), 3)


def test_a_gap_in_the_middle_that_is_too_wide_is_a_second_missing_range():
    degrees = np.concatenate([np.arange(-60, -20, 2), np.arange(20, 61, 2)])
    np.testing.assert_allclose(weights(degrees), 2)


def test_a_saxton_scheme_follows_its_steps():
    """Steps that shrink with the cosine: no tilt is far from the mean of its two gaps."""
    degrees = [0.0]
    while degrees[-1] < 60:
        degrees.append(degrees[-1] + 3 * np.cos(degrees[-1] * DEG))
    degrees = np.concatenate([-np.array(degrees[:0:-1]), degrees])
    found = weights(degrees)
    gaps = np.diff(degrees)
    np.testing.assert_allclose(found[1:-1], (gaps[1:] + gaps[:-1]) / 2)
    np.testing.assert_allclose(found[[0, -1]], gaps[[0, -1]])


def test_plus_and_minus_ninety_are_one_direction_and_share_it():
    found = weights(np.arange(-90, 91, 5))
    assert found.sum() == pytest.approx(180)
    np.testing.assert_allclose(found[1:-1], 5)
    np.testing.assert_allclose(found[[0, -1]], 2.5)


@pytest.mark.parametrize("copies", [2, 3])
@pytest.mark.parametrize("at", [-60, 0, 60])
def test_tilts_at_the_same_angle_share_what_one_would_have(copies, at):
    single = np.arange(-60, 61, 3.0)
    found = weights(np.concatenate([single, [at] * (copies - 1)]))
    same = np.concatenate([single, [at] * (copies - 1)]) == at
    np.testing.assert_allclose(found[same], 3 / copies)
    np.testing.assert_allclose(found[~same], 3)


@pytest.mark.parametrize("n", [2, 3])
def test_nothing_but_copies_of_one_tilt(n):
    np.testing.assert_allclose(weights([30.0] * n), 180 / n)


@settings(max_examples=100, deadline=None)
@given(degrees=st.lists(st.floats(-180, 180), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_any_tilts_get_weights_that_follow_their_order(degrees, seed):
    order = np.random.default_rng(seed).permutation(len(degrees))
    found = weights(degrees)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert found.sum() > 0
    by_direction = {}
    for degree, weight in zip(np.round(np.mod(degrees, 180), 6) % 180, found, strict=True):
        by_direction[degree] = by_direction.get(degree, 0) + weight
    again = {}
    for degree, weight in zip(
        np.round(np.mod(np.array(degrees)[order], 180), 6) % 180, weights(np.array(degrees)[order]), strict=True
    ):
        again[degree] = again.get(degree, 0) + weight
    assert by_direction == pytest.approx(again, abs=1e-6)


@pytest.mark.parametrize(
    "degrees",
    [
        np.concatenate([np.arange(-60, 61, 2) + d for d in (-0.05, 0, 0.05)]),
        np.concatenate([np.arange(-60, -20, 5), np.arange(-20, 20, 0.5), np.arange(20, 61, 5)]),
    ],
)
def test_a_range_counts_once_however_it_is_sampled(degrees):
    assert np.rad2deg(weights(np.deg2rad(degrees)).sum()) == pytest.approx(120, abs=6)


def test_few_tilts_stand_for_what_they_span():
    assert np.rad2deg(weights(np.deg2rad([0, 10]))).tolist() == pytest.approx([10, 10])
    assert np.rad2deg(weights(np.deg2rad([0, 10, 20]))).tolist() == pytest.approx([10, 10, 10])
    assert np.rad2deg(weights(np.deg2rad([0, 90]))).tolist() == pytest.approx([90, 90])
