"""Tuning: which values are tried, on which tilts, and which one is chosen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tomoprior import Geometry, TiltSeries
from tomoprior.comparison import tuning
from tomoprior.comparison.candidates import Candidate, make_candidates
from tomoprior.comparison.shared import SharedInput
from tomoprior.comparison.tuning import TRIALS, Tuned, count_trials, explain_trials, plan_trials, tune, values_to_try
from tomoprior.errors import InputError
from tomoprior.settings import Settings


class Choices(Settings):
    num_iter: int = 8
    strength: float = 1.0
    third: int = 0


class Method:
    name = "method"
    Settings = Choices


def candidate(given=(), **members) -> Candidate:
    return Candidate("method", type("Named", (Method,), members)(), Choices(), set_by_user=frozenset(given))


@pytest.fixture
def shared() -> SharedInput:
    geometry = Geometry(np.deg2rad(np.arange(0, 100, 4.0)), (4, 3, 6))
    return SharedInput(TiltSeries(np.random.default_rng(0).random(geometry.range_shape, np.float32), geometry))


@pytest.fixture
def judged(monkeypatch):
    """Trials whose error is computed from the settings; records the tilts that judge them."""

    def use(error):
        seen = []

        def held_out(shared, reconstruct):
            seen.append(np.rad2deg(shared.series.geometry.angles).round(3).tolist())
            return {"error": reconstruct(shared.series, "held_out")}

        monkeypatch.setattr(tuning, "held_out", held_out)
        return seen, lambda series, settings, stage: error(settings)

    return use


def test_without_a_list_the_iterations_are_tried_around_the_default():
    assert values_to_try(candidate()) == {"num_iter": [2, 4, 8, 16, 32]}


def test_two_settings_at_most_and_none_that_the_user_has_set():
    named = {"third": (1, 2), "strength": (0.1, 1.0), "num_iter": (5,)}
    assert list(values_to_try(candidate(tunable=named))) == ["third", "strength"]
    assert list(values_to_try(candidate(given=["third"], tunable=named))) == ["strength", "num_iter"]
    assert values_to_try(candidate(given=["num_iter"])) == {}
    assert values_to_try(candidate(tunable={})) == {}


@pytest.mark.parametrize(
    "values",
    [
        {"num_iter": tuple(range(1, 30))},
        {"num_iter": (1, 2, 3), "strength": (0.1, 0.2, 0.3, 0.4, 0.5)},
        {"strength": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7), "third": (1, 2)},
    ],
)
def test_no_method_has_more_trials_than_another(shared, judged, values):
    """However many values a method names: each gets the same number, and none of them twice."""
    _, run = judged(lambda s: 1 / (s.num_iter + s.strength + s.third))
    found = Tuned()
    tune(shared, candidate(tunable=values), run, found)
    assert len(found.trials) == TRIALS == count_trials(plan_trials(candidate(tunable=values)))
    assert len({str(t["values"] | {"num_iter": t["values"].get("num_iter", 8)}) for t in found.trials}) == TRIALS
    assert explain_trials(candidate(tunable=values)) == ""


def test_fewer_trials_have_a_reason():
    assert explain_trials(candidate(tunable={"third": (0, 1, 2)})) == "third: no other values"
    assert explain_trials(candidate(tunable={})) == "held-out tilts choose in every run what is not given"
    assert explain_trials(candidate(given=["num_iter"])) == "its settings are given"
    assert explain_trials(candidate()) == "num_iter: no other values"  # five multiples of the default
    assert count_trials(plan_trials(candidate())) == 5
    # a setting whose only value is the default has nothing to choose from
    assert plan_trials(candidate(tunable={"strength": (1.0,), "third": (0, 3)})) == {"third": [0, 3]}


def test_the_registered_methods_have_all_trials_or_a_reason():
    for name in ("wbp", "sirt", "sart", "cgls", "tv", "cn", "wiener", "wedge", "diffusion"):
        (one,) = make_candidates([name])
        count = count_trials(plan_trials(one))
        assert count <= TRIALS
        assert (count == TRIALS) == (explain_trials(one) == "")


def test_the_value_with_the_smallest_error_is_chosen(shared, judged):
    _, run = judged(lambda s: abs(s.num_iter - 15))
    found = Tuned()
    assert tune(shared, candidate(), run, found).settings.num_iter == 16
    assert found.values == {"num_iter": 16}
    assert {t["values"]["num_iter"]: t["error"] for t in found.trials} == {8: 7, 2: 13, 4: 11, 16: 1, 32: 17}


def test_the_own_value_stays_unless_another_is_better(shared, judged):
    _, run = judged(lambda s: 1.0)
    assert tune(shared, candidate(), run, Tuned()).settings.num_iter == 8


def test_the_second_setting_is_tried_with_the_best_of_the_first(shared, judged):
    _, run = judged(lambda s: abs(s.num_iter - 3) + abs(s.strength - 2) * s.num_iter)
    found = Tuned()
    result = tune(shared, candidate(tunable={"num_iter": (3, 20), "strength": (2.0, 5.0)}), run, found)
    # with strength 1: 8 -> 13, 3 -> 3, 20 -> 37; then with 3 iterations: 1 -> 3 (known already), 2 -> 0, 5 -> 9
    assert (result.settings.num_iter, result.settings.strength) == (3, 2.0)
    assert [t["error"] for t in found.trials] == [13, 3, 37, 0, 9]
    assert found.trials[-1]["values"] == {"num_iter": 3, "strength": 5.0}


def test_the_tilts_of_the_judgement_take_no_part(shared, judged):
    seen, run = judged(lambda s: 1.0)
    tune(shared, candidate(), run, Tuned())
    held_out = [8.0, 28.0, 48.0, 68.0, 88.0]  # places 2, 7, 12, 17 and 22 of 25
    assert all(not set(held_out) & set(angles) for angles in seen)
    assert {len(angles) for angles in seen} == {20}


def test_a_value_that_fails_is_noted_and_not_chosen(shared, judged):
    def error(settings):
        if settings.num_iter < 8:
            raise InputError("too few")
        return settings.num_iter

    _, run = judged(error)
    found = Tuned()
    assert tune(shared, candidate(tunable={"num_iter": (2, 16)}), run, found).settings.num_iter == 8
    assert [t for t in found.trials if t["error"] is None] == [{"values": {"num_iter": 2}, "error": None, "message": "too few"}]
    _, run = judged(lambda s: error(Choices(num_iter=1)))
    with pytest.raises(InputError, match="no value of num_iter could be tried: too few"):
        tune(shared, candidate(), run, Tuned())


def test_what_is_interrupted_leaves_the_best_so_far(shared, judged):
    def error(settings):
        if settings.num_iter == 16:
            raise KeyboardInterrupt
        return abs(settings.num_iter - 4)

    _, run = judged(error)
    found = Tuned()
    with pytest.raises(KeyboardInterrupt):
        tune(shared, candidate(), run, found)
    assert found.values == {}
    assert found.best() == {"num_iter": 4}
    assert Tuned().best() == {}
    assert Tuned(trials=[{"values": {"a": 1}, "error": None}]).best() == {}


def test_few_tilts_cannot_be_held_out_twice(shared, judged):
    _, run = judged(lambda s: 1.0)
    few = replace(shared, series=shared.series.select(np.arange(5)))
    with pytest.raises(InputError, match="4 tilts are too few"):
        tune(few, candidate(), run, Tuned())


def test_a_trial_is_judged_by_prediction_itself(shared):
    """With the real evidence: a volume that predicts the tilts wins over one that does not."""
    from tomoprior.projector import Projector
    from tomoprior.reconstruction import Reconstruction

    volume = np.random.default_rng(3).random((4, 3, 6), np.float32)
    exact = TiltSeries(np.asarray(Projector(shared.series.geometry)(volume)), shared.series.geometry)

    def run(series, settings, stage):
        assert stage.startswith("tuning num_iter=")
        return Reconstruction(volume if settings.num_iter == 32 else volume[::-1].copy(), series.geometry)

    found = Tuned()
    assert tune(replace(shared, series=exact), candidate(), run, found).settings.num_iter == 32
    errors = {t["values"]["num_iter"]: t["error"] for t in found.trials}
    assert errors[32] < 1e-3 < 0.1 < errors[8]
