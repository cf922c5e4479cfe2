"""The order of methods: what is told apart, what shares a place, and how often either is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tomoprior.comparison import ranking
from tomoprior.comparison.ranking import find_ordered_pairs, p_value, rank


def errors(mean: float, size: int = 8) -> np.ndarray:
    """Errors whose differences from zero have the given mean and a standard error of exactly 1."""
    noise = np.arange(size) - (size - 1) / 2
    return mean + noise / noise.std(ddof=1) * np.sqrt(size)


def groups(squares, bands=None):
    return rank("tilts", "held_out.error", "tilts", squares, bands).groups


@pytest.mark.parametrize(("errors_in", "p"), [(1.415, 0.1), (1.895, 0.05), (2.365, 0.025), (2.998, 0.01)])
def test_the_probability_is_students_ts(errors_in, p):
    # one-sided quantiles of Student's t with 7 degrees of freedom, from tables
    assert p_value(errors(errors_in), np.zeros(8)) == pytest.approx(p, rel=2e-3)
    assert p_value(np.zeros(8), errors(errors_in)) == pytest.approx(1 - p, rel=2e-3)


def test_the_same_difference_everywhere_is_no_chance_and_no_difference_is_none():
    base = np.arange(6.0)
    assert p_value(base + 0.1, base) == 0
    assert p_value(base, base + 0.1) == 1
    assert p_value(base, base) == 1


def test_a_single_pair_proves_nothing():
    assert p_value([2.0], [1.0]) == 1


def test_the_level_of_two_methods_is_five_percent_in_both_directions_together():
    assert groups({"best": np.zeros(8), "second": errors(2.366)}) == (("best",), ("second",))
    assert groups({"best": np.zeros(8), "second": errors(2.364)}) == (("best", "second"),)


def test_the_level_is_shared_by_all_pairs_and_the_clearest_come_first():
    """Three methods, three pairs: 5 % / 3 for the clearest (3.13 standard errors), then 5 % / 2 (2.84), then 5 % (2.365)."""
    best = np.zeros(8)
    assert groups({"best": best, "second": best, "third": errors(3.1)}) == (("best", "second", "third"),)
    assert groups({"best": best, "second": best, "third": errors(3.2)}) == (("best", "second"), ("third",))
    # the two clear pairs leave 5 % for the last, and 2.4 of its standard errors are enough
    far, near = 100 * (1 + np.arange(8.0)), errors(2.4)
    assert groups({"best": best, "second": near, "third": far}) == (("best",), ("second",), ("third",))


def test_the_first_pair_that_fails_ends_the_order(monkeypatch):
    """Twice the values are 0.01 < 0.05 / 3, then 0.03 > 0.05 / 2; the last, 0.04 < 0.05, no longer counts."""
    values = {(3.0, 1.0): 0.005, (2.0, 1.0): 0.015, (3.0, 2.0): 0.02}
    monkeypatch.setattr(ranking, "p_value", lambda worse, better: values[worse[0], better[0]])
    assert ranking.find_ordered_pairs({"a": [1.0], "b": [2.0], "c": [3.0]}) == {("a", "c")}


def test_a_chain_of_ties_is_one_group_and_keeps_the_pair_that_is_clear():
    # a and b, and b and c are 2.6 standard errors of their difference apart, a and c more than 4
    a, b = np.zeros(8), errors(2.2)
    c = b + np.roll(errors(2.2), 3)
    assert p_value(c, a) < 0.05 / 6
    ranking = rank("tilts", "m", "tilts", {"a": a, "b": b, "c": c})
    assert ranking.groups == (("a", "b", "c"),)
    assert ranking.pairs == (("a", "c"),)


def test_methods_are_sorted_by_their_mean_error():
    squares = {"bad": errors(30.0), "good": np.zeros(8), "middle": errors(10.0)}
    assert groups(squares) == (("good",), ("middle",), ("bad",))


def test_a_group_ends_only_where_all_that_follow_are_worse():
    noisy = 30.0 + 100 * (np.arange(8) - 3.5)  # the largest mean, but nothing that is beyond chance
    assert groups({"best": np.zeros(8), "second": errors(9.0), "noisy": noisy}) == (("best", "second", "noisy"),)


def test_what_is_better_at_one_band_of_detail_is_not_worse():
    squares = {"smooth": np.zeros(8), "sharp": errors(9.0)}
    coarse = {"smooth": [np.zeros(8), errors(9.0)], "sharp": [errors(9.0), np.zeros(8)]}
    same = {"smooth": [np.zeros(8), np.zeros(8)], "sharp": [errors(9.0), np.zeros(8)]}
    assert groups(squares, coarse) == (("smooth", "sharp"),)
    assert groups(squares, same) == (("smooth",), ("sharp",))
    ranking = rank("tilts", "held_out.error", "tilts", squares, coarse)
    assert "Coarse and fine detail disagree, so that neither is ranked first: smooth and sharp." in ranking.reason
    assert "disagree" not in rank("tilts", "held_out.error", "tilts", squares, same).reason


def test_one_method_has_no_rank():
    assert rank("tilts", "held_out.error", "tilts", {"alone": [1.0, 2.0]}) is None


def test_the_reason_names_the_test_and_its_level():
    reason = rank("tilts", "m", "tilts", {name: errors(10.0 * i) for i, name in enumerate("abc")}).reason
    assert "over 8 tilts" in reason
    assert "5 % for all pairs together" in reason


DRAWS = 200


def draw(rng: np.random.Generator, truth: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """Squared errors with these true means: much noise in common, and noise of its own with a standard error of 1."""
    common = 20 * rng.normal(size=size)
    return {str(i): 100 + common + mean + np.sqrt(size / 2) * rng.normal(size=size) for i, mean in enumerate(truth)}


@pytest.mark.parametrize("size", [8, 16])
@pytest.mark.parametrize("gap", [0.1, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("methods", [2, 4, 6])
def test_a_wrong_order_is_rare(size, gap, methods):
    """Each method is worse than the one before by ``gap`` standard errors of a difference."""
    rng = np.random.default_rng([7, size, methods, round(10 * gap)])
    wrong = 0
    for _ in range(DRAWS):
        place = {label: i for i, group in enumerate(groups(draw(rng, gap * np.arange(methods), size))) for label in group}
        order = [place[str(i)] for i in range(methods)]
        wrong += order != sorted(order)
    assert wrong <= 0.05 * DRAWS


@pytest.mark.parametrize("size", [8, 16])
def test_three_standard_errors_are_told_apart_more_often_than_not(size):
    rng = np.random.default_rng([8, size])
    tied = sum(len(groups(draw(rng, np.array([0.0, 3.0]), size))) == 1 for _ in range(DRAWS))
    assert tied < 0.5 * DRAWS
    # theory: the share of a noncentral t below its quantile
    expected = stats.nct.cdf(stats.t.ppf(0.975, size - 1), size - 1, 3.0)
    assert tied / DRAWS == pytest.approx(expected, abs=0.09)


@pytest.mark.parametrize("size", [8, 16])
def test_neighbours_among_four_are_told_apart_too(size):
    """Four methods in steps of three standard errors: each step is seen more often than not."""
    rng = np.random.default_rng([9, size])
    tied = np.zeros(3)
    for _ in range(DRAWS):
        squares = draw(rng, 3.0 * np.arange(4), size)
        pairs = find_ordered_pairs(squares)
        tied += [(str(i), str(i + 1)) not in pairs for i in range(3)]
    assert np.all(tied < 0.5 * DRAWS)


def test_methods_that_share_a_place_stand_in_the_order_of_their_means():
    """Four of five errors of the first are smaller, and its mean of 2.8 is larger."""
    ranking = rank("tilts", "error", "tilts", {"first": [1, 1, 1, 1, 10], "second": [2, 2, 2, 2, 2]})
    assert ranking.groups == (("second", "first"),)
