"""The parts of one candidate and their budget, on a clock that the methods themselves move."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tomoprior.comparison import budget, evaluation
from tomoprior.comparison.budget import Budget, OutOfTime
from tomoprior.comparison.candidates import Candidate, make_candidates
from tomoprior.comparison.evaluation import Evaluation, digest_candidate
from tomoprior.comparison.shared import SharedInput
from tomoprior.comparison.store import Store
from tomoprior.errors import Interrupted
from tomoprior.reconstruction import Reconstruction

from .conftest import named


@pytest.fixture
def clock(monkeypatch):
    """Seconds since the start, for the budget and for the parts."""
    now = SimpleNamespace(seconds=0.0)
    for module in (budget, evaluation):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


@pytest.fixture
def evaluate(clock, series, tmp_path):
    """Evaluate a method whose every reconstruction takes 30 s, unless ``stop`` interrupts it in a stage.

    With one iteration it is a back-projection, else the same upside down.
    """

    def run(limit, *, tune=False, checks=(), stop=None):
        def volume(self, projections, projector, settings, progress):
            clock.seconds += 30
            x = projector.T(projections)
            return x if settings.num_iter == 1 else x.flip(0)

        def step(stage, iteration, num_iter):
            if stop is not None and stage.startswith(stop):
                raise KeyboardInterrupt

        method = named("slow", volume=volume, tunable={"num_iter": (1, 2, 4, 5)})
        store = Store(tmp_path / "slow", "digest")
        made = Evaluation(SharedInput(series), candidate(method), store, checks, tune=tune, budget=limit, step=step)
        return made.run(), store

    return run


def candidate(method) -> Candidate:
    return make_candidates([method])[0]


def test_seconds_of_an_earlier_run_count_and_a_share_ends_earlier(clock):
    used = Budget(100)
    clock.seconds = 20
    used.add_earlier(31)
    assert used.used == 51
    assert used.is_over(0.5)
    assert not used.is_over(0.51)
    assert not used.is_over()
    with pytest.raises(OutOfTime):
        used.check(0.5)
    clock.seconds = 69.5
    assert used.is_over()
    assert not Budget(None).is_over(1e-9)


def test_tuning_ends_at_half_of_the_budget(evaluate):
    """The second trial ends at 60 of 100 s, so the third does not start, and the reconstruction still fits."""
    state, store = evaluate(100, tune=True)
    part = store.get("tuned")
    assert [trial["values"]["num_iter"] for trial in part["trials"]] == [3, 1]
    assert part["cut"].startswith("half of the budget")
    assert part["values"] == {"num_iter": 1} == {"num_iter": state["settings"]["num_iter"]}  # the better of the two
    assert state["status"] == "done"
    assert state["seconds"] == {"tuning": 60, "reconstruction": 30, "checks": 0}


def test_what_an_earlier_run_has_spent_on_tuning_is_spent(evaluate):
    """150 s of trials and 30 s of reconstruction leave 20 of 200 s: the first check starts, the second does not."""
    with pytest.raises(KeyboardInterrupt):
        evaluate(400, tune=True, stop="reconstruction")
    state, store = evaluate(200, tune=True, checks=("held_out", "halves"))
    assert state["status"] == "over budget"
    assert "the check halves was cut off after the budget of 200 s" in state["message"]
    assert store.get("held_out") is not None
    assert state["seconds"] == {"tuning": 150, "reconstruction": 30, "checks": 30}


def test_what_an_earlier_run_has_spent_on_the_volume_and_on_checks_is_spent(evaluate):
    """60 of 80 s are spent, and the next check takes the time to 90: the last one does not start."""
    with pytest.raises(KeyboardInterrupt):
        evaluate(None, checks=("held_out", "halves"), stop="halves")
    state, _ = evaluate(80, checks=("held_out", "halves"))
    assert state["status"] == "over budget"
    assert "the check halves was cut off" in state["message"]
    assert state["seconds"] == {"reconstruction": 30, "checks": 30}


def test_checks_end_with_the_first_that_has_no_time(evaluate):
    state, _ = evaluate(25, checks=("held_out", "halves"))
    assert state["message"] == "the check held-out was cut off after the budget of 25 s: the volume itself is complete"


def test_a_volume_that_was_cut_off_is_made_anew_with_more_time(clock, series, tmp_path):
    """The second of two steps of 30 s ends beyond 40 s; of 100 s both fit."""

    def reconstruct(self, projections, projector, settings, *, weights=None, initial=None, mask=None, progress=None):
        steps = 0
        try:
            for steps in (1, 2):
                clock.seconds += 30
                progress(steps, 2, {})
        except KeyboardInterrupt:
            raise Interrupted(Reconstruction(projector.T(projections), projector.geometry)) from None
        return Reconstruction(steps * projector.T(projections), projector.geometry)

    store = Store(tmp_path / "patient", "digest")
    volumes = []
    for limit, status, seconds in ((40, "over budget", 60), (100, "done", 60)):
        one = candidate(named("patient", reconstruct=reconstruct))
        state = Evaluation(SharedInput(series), one, store, (), budget=limit).run()
        assert state["status"] == status
        assert state["seconds"]["reconstruction"] == seconds
        volumes.append(store.array("volume"))
    np.testing.assert_allclose(volumes[1], 2 * volumes[0], rtol=1e-6)


def test_an_interruption_is_no_end_of_the_budget(series, tmp_path):
    """A method that keeps its volume at Ctrl-C: the user wants to stop, and the volume is not the one of all iterations."""

    def reconstruct(self, projections, projector, settings, *, weights=None, initial=None, mask=None, progress=None):
        raise Interrupted(Reconstruction(projector.T(projections), projector.geometry))

    store = Store(tmp_path / "stopped", "digest")
    with pytest.raises(KeyboardInterrupt):
        Evaluation(SharedInput(series), candidate(named("stopped", reconstruct=reconstruct)), store, (), budget=1000).run()
    assert store.get("reconstruction") is store.get("outcome") is None


def test_results_belong_to_the_settings_that_are_tuned():
    """Trials of other settings, or none, choose other values."""
    method = named("tuned")
    type(method).tunable = {"num_iter": (1, 40)}
    free, fixed = make_candidates([method])[0], make_candidates([method], {"tuned": {"num_iter": 3}})[0]
    assert free.settings == fixed.settings
    digests = [digest_candidate("data", free, tune=True), digest_candidate("data", free, tune=False)]
    digests += [digest_candidate("data", fixed, tune=True), digest_candidate("other data", free, tune=True)]
    assert len(set(digests)) == 4
    assert digest_candidate("data", make_candidates([method])[0], tune=True) == digests[0]


def test_results_of_one_method_are_not_those_of_another_with_the_same_settings():
    first, second = (digest_candidate("data", candidate(named(name)), tune=False) for name in ("first", "second"))
    assert first != second
