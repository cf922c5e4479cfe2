"""The searches for what the settings of a spline fit leave open, with errors made by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tomoprior.methods.cn import data_statistics, hyperparameters
from tomoprior.methods.cn.held_out import Split
from tomoprior.methods.cn.hyperparameters import Hyperparameters, HyperparameterSearch
from tomoprior.methods.cn.interrupted import BestSoFar
from tomoprior.methods.cn.primal_dual import PrimalDualSolver, Units
from tomoprior.methods.cn.settings import SplineSettings
from tomoprior.methods.solving.problem import set_up_problem


@pytest.fixture
def problem(limited):
    problem = set_up_problem(limited.projections, limited.projector, 0, weights=None, initial=None, mask=None)
    return replace(problem, weight_scale=3.0)


def search_of(problem, **values):
    """A search with a strength of 2 by the rule; ``search.steps`` holds what it reports."""
    units, steps = Units(contrast=1.0, spread=1.0, rule=2.0), []
    search = HyperparameterSearch(problem, SplineSettings(**values), units, steps.append, {}, BestSoFar())
    search.steps = steps
    return search


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, 19 * 50 + 3 * 80 + 301),
        ({"background": "held-out"}, 19 * 50 + 3 * 80 + 301 + 11 * 60),
        ({"degree": 3, "reg_par": 1.0}, 301),
        ({"degree": 3, "regulariser": None, "stop": None}, 0),
        ({"degree": 3, "reg_par": "auto", "stop": "held-out", "num_iter": 7}, 8),
    ],
)
def test_iterations_of_all_searches_are_counted(values, expected):
    settings = SplineSettings(**values)
    assert hyperparameters.count_iterations(settings) == expected
    assert hyperparameters.needs_search(settings) == bool(expected)


def test_without_a_regulariser_no_strength_is_searched():
    assert hyperparameters.searches_strength(SplineSettings())
    assert not hyperparameters.searches_strength(SplineSettings(regulariser=None))
    assert not hyperparameters.searches_strength(SplineSettings(reg_par="auto"))


def test_a_constant_volume_is_zero_outside_the_mask(problem):
    mask = torch.zeros(problem.x.shape)
    mask[3] = 1
    volume = hyperparameters.constant_volume(replace(problem, mask=mask), 2.5)
    assert bool((volume[3] == 2.5).all())
    assert float(volume.sum()) == 2.5 * mask.sum()


@pytest.mark.parametrize(
    ("errors", "degree"),
    [
        ((0.0100, 0.0105, 0.0112), 3),  # a thousandth more than the best is hardly worse
        ((0.0100, 0.0105, 0.0109), 5),
        ((0.0100, 0.0120, 0.0140), 1),
        ((0.0200, 0.0150, 0.0100), 5),
    ],
)
def test_the_highest_degree_that_is_hardly_worse_than_the_best_is_taken(problem, monkeypatch, errors, degree):
    by_degree = dict(zip((1, 3, 5), errors, strict=True))
    monkeypatch.setattr(
        HyperparameterSearch, "_run_trial", lambda self, split, solver, *rest: np.full(5, by_degree[solver.basis.degree] / 5)
    )
    assert search_of(problem)._search_degree(Split.from_problem(problem), 0.0) == degree


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_the_highest_level_that_does_not_fail_is_found_by_bisection(problem, monkeypatch, part):
    """Ten halvings of 1.5 times the typical level."""
    highest = 1.5 * data_statistics.estimate_level(problem)
    true, whole = part * highest, Split.from_problem(problem).test.scale

    def run_trial(self, split, solver, state, level, *rest):
        # in units of the whole data, as the search compares them
        return np.full(5, 4.0 if level > true else 1.0) / (split.test.scale / whole) ** 2

    monkeypatch.setattr(HyperparameterSearch, "_run_trial", run_trial)
    found = search_of(problem)._search_level(Split.from_problem(problem))
    assert true - highest / 2**10 <= found <= true


@pytest.mark.parametrize(
    ("values", "expected"),
    [({"regulariser": "squared"}, 16 * 2.0), ({"loss": "l1"}, 16 * 2.0), ({}, 4 * (2.0 + 0.25 * 5))],
)
def test_the_search_starts_at_the_strength_for_the_noise(problem, monkeypatch, values, expected):
    """With a noise of 0.25 in each of 25 tilts of weight one: 0.25 times the root of 25."""
    monkeypatch.setattr(data_statistics, "estimate_noise", lambda problem: 0.25)
    assert search_of(problem, **values)._first_strength() == pytest.approx(expected)


def test_the_strength_is_reported_for_the_users_weights_with_the_state_of_the_best_trial(problem, monkeypatch):
    """Errors least at 1.0, clearly: the search goes 16, 4, 1, ... and looks at 2 and 0.5 at last."""
    states = {}

    def run_trial(self, split, solver, state, level, reg_par, *rest):
        states[reg_par] = state
        return np.full(5, 1 + np.log2(reg_par) ** 2)

    monkeypatch.setattr(HyperparameterSearch, "_run_trial", run_trial)
    monkeypatch.setattr(HyperparameterSearch, "_first_strength", lambda self: 16.0)
    search, split = search_of(problem), Split.from_problem(problem)
    reg_par, state = search._search_strength(split, search._make_solver(split, 1), 0.0)
    assert reg_par == 1.0
    assert state is states[1.0]
    assert {2.0, 0.5} <= states.keys()
    assert search.settled["reg_par"] == 3.0  # the weights were divided by 3
    assert search.settled["held_out_error"] == pytest.approx(5**0.5)


def test_a_trial_has_a_strength_in_proportion_to_the_weight_that_it_fits(problem, monkeypatch):
    """Weights 0 and 9 at tilts 2 and 3: 19 of 32 parts are fitted."""
    weights = torch.ones(25, 1, 1)
    weights[2], weights[3] = 0, 9
    problem = replace(problem, weights=weights)
    strengths = []
    monkeypatch.setattr(
        PrimalDualSolver, "run", lambda self, state, reg_par, num_iter, *rest, **more: strengths.append(reg_par)
    )
    search, split = search_of(problem), Split.from_problem(problem)
    solver = search._make_solver(split, 1)
    search._run_trial(split, solver, solver.start(), 0.0, 64.0, 50)
    search._search_stop(split, solver, Hyperparameters(degree=1, level=0.0, reg_par=64.0, num_iter=9))
    assert strengths == pytest.approx([64 * 19 / 32] * 2)


@pytest.mark.parametrize(
    ("errors", "num_iter", "best", "watched"),
    [
        # looked at after 20, 40, ...; four looks without a gain end it
        ((5, 4, 3, 3.5, 3.2, 3.1, 3.4), 300, 60, 141),
        ((5, 4, 3, 2, 1), 100, 100, 101),
        ((5,), 20, 20, 21),
        ((), 15, 15, 16),
    ],
)
def test_the_fit_stops_where_the_held_out_tilts_are_predicted_best(problem, monkeypatch, errors, num_iter, best, watched):
    looks, seen = iter(errors), []

    def run(self, state, reg_par, count, watch, *, balance):
        for _ in range(count):
            seen.append(1)
            if watch(1.0):
                break

    monkeypatch.setattr(PrimalDualSolver, "run", run)
    monkeypatch.setattr(hyperparameters, "_prediction_errors", lambda *_: np.array([float(next(looks)) ** 2]))
    search, split = search_of(problem), Split.from_problem(problem)
    choice = Hyperparameters(degree=1, level=0.0, reg_par=1.0, num_iter=num_iter)
    assert search._search_stop(split, search._make_solver(split, 1), choice) == best
    assert len(seen) == len(search.steps) == watched


def test_every_search_works_with_the_results_of_those_before(problem, monkeypatch):
    calls = []

    def note(name, result):
        def search(self, split, *rest):
            calls.append((name, *[r for r in rest if isinstance(r, (int, float))]))
            return result

        return search

    monkeypatch.setattr(HyperparameterSearch, "_search_level", note("level", 0.25))
    monkeypatch.setattr(HyperparameterSearch, "_search_degree", note("degree", 5))
    monkeypatch.setattr(HyperparameterSearch, "_search_strength", note("strength", (7.0, None)))
    monkeypatch.setattr(HyperparameterSearch, "_search_stop", note("stop", 120))
    choice = Hyperparameters(degree=3, level=0.0, reg_par=1.0, num_iter=300)
    search = search_of(problem, background="held-out")
    search.run(choice)
    assert calls == [("level",), ("degree", 0.25), ("strength", 0.25), ("stop",)]
    assert (choice.level, choice.degree, choice.reg_par, choice.num_iter) == (0.25, 5, 7.0, 120)
    assert search.settled == {"num_iter": 120.0}
    assert choice.keep.tolist() == [i for i in range(25) if i not in (2, 7, 12, 17, 22)]
