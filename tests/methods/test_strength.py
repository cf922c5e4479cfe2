"""The search for a strength by held-out tilts: it finds the best one for much noise, and for none."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tomoprior import methods
from tomoprior.errors import InputError
from tomoprior.methods.classical import tv
from tomoprior.methods.solving import gradient, holding_out, strength
from tomoprior.methods.solving.iterative import Monitor
from tomoprior.methods.solving.problem import set_up_problem


@pytest.fixture(scope="module")
def sampled(case_of):
    """Hollow spheres in a slab, seen over +-60 degrees."""
    return case_of((16, 12, 40), np.linspace(-60, 60, 41), radius=(3, 6), seed=2)


def noisy(case, snr):
    """Projections with Gaussian noise of that ratio of variances in every tilt, or as they are."""
    p = case.projections
    if snr is None:
        return p
    noise = torch.randn(p.shape, generator=torch.Generator().manual_seed(0))
    return p + noise * (p.std((1, 2), keepdim=True) / snr**0.5)


def rule(case, p):
    return case.run("tv", num_iter=1, reg_par="auto", projections=p).provenance["settled"]["reg_par"]


def problem_of(case, p):
    return set_up_problem(p, case.projector, 0, weights=None, initial=None, mask=None)


@pytest.mark.slow
@pytest.mark.parametrize(("snr", "least", "most"), [(1, 17, 1000), (10, 4, 200), (None, 1 / 70, 1)])
def test_it_finds_the_best_strength_with_much_noise_and_without(sampled, snr, least, most):
    """Within half a dB of the best of a sweep, which with noise lies far above the rule and without it far below."""
    p = noisy(sampled, snr)
    found = sampled.run("tv", reg_par="held-out", projections=p)
    unit = rule(sampled, p)
    assert least < found.provenance["settled"]["reg_par"] / unit < most
    sweep = [sampled.run("tv", reg_par=unit * 2.0**k, projections=p).volume for k in range(-7, 10)]
    assert sampled.psnr(found.volume) > max(sampled.psnr(v) for v in sweep) - 0.5


def test_with_strong_noise_it_looks_far_above_the_rule(sampled):
    p = noisy(sampled, 0.5)
    found = sampled.run("tv", num_iter=100, reg_par="held-out", projections=p)
    chosen, unit = found.provenance["settled"]["reg_par"], rule(sampled, p)
    assert chosen > 16 * unit
    weaker = sampled.run("tv", num_iter=100, reg_par=16 * unit, projections=p)
    assert sampled.psnr(found.volume) > sampled.psnr(weaker.volume) + 0.5


def test_it_ends_where_the_error_has_risen_twice(limited):
    """And goes from strong to weak, the duals being those of the strength before."""
    tried, duals = [], []
    noise = torch.randn(limited.truth.shape, generator=torch.Generator().manual_seed(0))

    def solver(problem, settings, reg_par, monitor, state):
        tried.append(reg_par)
        duals.append(state)
        return problem.x.copy_(limited.truth + (0.5, 0.1, 0.2, 0.4)[len(tried) - 1] * noise)

    method = methods.get("tv")
    problem = problem_of(limited, limited.projector(limited.truth))
    chosen = strength.search_strength(problem, method.Settings(), solver, 1.0, blocks=True)
    assert len(tried) == 4
    assert tried == sorted(tried, reverse=True)
    assert all(state is duals[0] for state in duals)
    assert chosen == pytest.approx(strength.FACTORS[1], rel=0.5)


@pytest.mark.parametrize(("weights", "share"), [(None, 21 / 25), ("unequal", 28 / 32)])
def test_fewer_tilts_are_fitted_with_a_strength_in_proportion_to_their_weight(limited, weights, share):
    """Held out are 4 of 25 tilts of equal weight; with weights 0 and 9 at tilts 2 and 3, 4 of 32 parts of the weight."""
    tried = []
    noise = torch.randn(limited.truth.shape, generator=torch.Generator().manual_seed(0))

    def solver(problem, settings, reg_par, monitor, state):
        tried.append(reg_par)
        return problem.x.copy_(limited.truth + (0.3, 0.1, 0.3, 0.5)[len(tried) - 1] * noise)

    problem = problem_of(limited, limited.projector(limited.truth))
    if weights is not None:
        values = torch.ones(25, 1, 1)
        values[2], values[3] = 0, 9
        problem = replace(problem, weights=values)
    chosen = strength.search_strength(problem, methods.get("tv").Settings(), solver, 3.0, blocks=True)
    np.testing.assert_allclose(tried, [3 * factor * share for factor in (1024, 512, 256, 128)], rtol=1e-12)
    # errors of 3, 1, 3: the vertex is at the second strength, which is one for all tilts again
    assert chosen == pytest.approx(3 * 512, rel=1e-5)


def test_going_on_from_a_strength_with_the_same_is_one_run(limited, difference):
    """The dual variables are all that an iterate needs beside the volume."""
    settings = methods.get("tv").Settings(num_iter=200, min_constraint=0)
    problem = problem_of(limited, limited.projections)
    whole = limited.run("tv", num_iter=1000, reg_par=1.0, pad=0).volume
    with torch.no_grad():
        duals = strength.DualVariables(torch.zeros_like(problem.data), gradient.zero_gradient(problem.x), balance=2.0)
        for reg_par in (64.0, 16.0, 4.0, 1.0, 1.0):
            x = tv.minimise(problem, settings, reg_par, Monitor(problem, settings, None), duals)
    assert difference(x, whole) < 0.02


def test_every_fifth_tilt_is_neither_the_first_nor_the_last_nor_one_without_weight(limited):
    problem = problem_of(limited, limited.projections)
    tilts = holding_out.hold_out_tilts(problem, "")
    assert tilts.out.tolist() == [2, 7, 12, 17, 22]
    assert sorted([*tilts.keep, *tilts.out]) == list(range(25))
    assert tilts.share == 0.8
    weights = torch.ones(25, 1, 1)
    weights[2], weights[3] = 0, 9
    tilts = holding_out.hold_out_tilts(replace(problem, weights=weights), "")
    assert tilts.out.tolist() == [3, 8, 13, 18, 23]
    assert 2 not in tilts.keep
    assert tilts.share == pytest.approx(19 / 32)
    with pytest.raises(InputError, match="4 tilts are too few to hold some out; try more"):
        holding_out.hold_out_tilts(replace(problem, weights=torch.tensor([1.0] * 4 + [0.0] * 21).reshape(25, 1, 1)), "try more")


def test_four_neighbours_of_twenty_tilts_are_held_out_and_of_fewer_every_fifth(sampled, limited):
    """41 tilts: the last one is never held out. Of 19 tilts every fifth is."""
    tilts = holding_out.hold_out_blocks(problem_of(sampled, sampled.projections))
    assert tilts.out.tolist() == [8, 9, 10, 11, 28, 29, 30, 31]
    assert sorted([*tilts.keep, *tilts.out]) == list(range(41))
    weights = torch.ones(25, 1, 1)
    weights[:6] = 0
    few = replace(problem_of(limited, limited.projections), weights=weights)
    assert holding_out.hold_out_blocks(few).out.tolist() == [8, 13, 18, 23]


def test_brightness_and_background_of_a_held_out_tilt_do_not_count(limited):
    """An image of 1, 2, 3, ... is predicted by twice itself plus one; not by its negative, whose error is its variance."""
    problem = problem_of(limited, limited.projections)
    image = torch.arange(problem.data[0].numel(), dtype=torch.float32).reshape(problem.data[0].shape)
    problem = replace(problem, data=image.expand(problem.data.shape))
    assert holding_out.fitted_squares(problem, 2 * problem.data + 1).max() < 1e-3
    variance = float(((image - image.mean()).double() ** 2).sum())
    np.testing.assert_allclose(holding_out.fitted_squares(problem, 5 - problem.data), variance, rtol=1e-6)
    weights = torch.zeros_like(problem.data)
    weights[:, :2] = 1
    spoilt = problem.data.clone()
    spoilt[:, 2:] = 7
    assert holding_out.fitted_squares(replace(problem, weights=weights), spoilt).max() < 1e-3


@pytest.mark.parametrize(
    ("first", "data", "index"),
    [
        ([1.5, 1.4, 1.6], 100.0, 1),  # worse by 0.5, 0.4, 0.6: clearly
        ([1.5, 0.6, 1.0], 100.0, 0),  # worse by 0.03 in the mean, with a standard error of 0.26
        ([1.5, 0.6, 1.0], 1501.0, 1),  # but the best leaves 3 of 1501 only
    ],
)
def test_the_simplest_volume_that_is_not_clearly_worse_is_taken(first, data, index):
    errors = [np.array(first), np.ones(3), np.full(3, 2.0)]
    assert holding_out.choose_simplest(errors, data) == index


@pytest.mark.parametrize(
    ("values", "index"),
    [([3.0, 1.0, 3.0], 1.0), ([3.0, 1.0, 1.0, 3.0], 1.5), ([1.0, 2.0], 0.0), ([2.0, 1.0], 1.0), ([1.0, 1.0, 1.0], 0.0)],
)
def test_the_lowest_point_lies_between_neighbours(values, index):
    assert strength.parabola_minimum(values) == index


def test_the_vertex_of_a_parabola_is_found():
    at = np.arange(6)
    assert strength.parabola_minimum(list((at - 2.3) ** 2 + 1)) == pytest.approx(2.3)
