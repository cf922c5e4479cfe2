"""The steps of the primal-dual solver, worked out by hand, and the conditions of optimality where it has converged."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tomoprior import Geometry, Projector
from tomoprior.errors import InputError
from tomoprior.methods.cn.primal_dual import PrimalDualSolver, Units
from tomoprior.methods.cn.settings import SplineSettings
from tomoprior.methods.cn.spline import SplineBasis
from tomoprior.methods.solving import gradient
from tomoprior.methods.solving.problem import set_up_problem

UNITS = Units(contrast=20.0, spread=5.0, rule=1.0)


@pytest.fixture(scope="module")
def problem():
    """Random projections of 4 x 2 x 6 voxels: no volume explains them, and some weights would be negative."""
    geometry = Geometry(np.deg2rad(np.linspace(-60, 60, 9)), (4, 2, 6))
    projector = Projector(geometry, "cpu")
    data = torch.randn(projector.range_shape, generator=torch.Generator().manual_seed(0))
    return set_up_problem(data, projector, 0, weights=None, initial=None, mask=None)


def solver_of(problem, degree=1, **values):
    return PrimalDualSolver(problem, SplineBasis(degree), SplineSettings(**values), UNITS)


@pytest.mark.parametrize(
    ("loss", "weight", "expected"),
    [
        ("l2", 2.0, 2.0),  # (1 + 0.5 * 3) * 2 / (2 + 0.5)
        ("l2", None, 2.5 / 1.5),
        ("l1", 2.0, 2.0),  # 2.5, but a slope of at most the weight
        ("l1", None, 1.0),
        ("huber", 2.0, 1.0),  # as l2, but a slope of at most 0.1 * 5 times the weight
        ("huber", None, 0.5),
    ],
)
def test_the_step_of_the_data_is_the_proximal_map_of_the_loss(problem, loss, weight, expected):
    ones = torch.ones_like(problem.data)
    weighted = problem if weight is None else replace(problem, weights=weight * ones)
    solver = solver_of(weighted, loss=loss, loss_huber_delta=0.1)
    sigma, w = torch.full_like(ones, 0.5), 1.0 if weight is None else weight
    for sign in (1, -1):
        y = sign * ones
        solver._data_step(y, sign * 3 * ones, sigma, None if loss == "l1" else w / (w + sigma))
        torch.testing.assert_close(y, sign * expected * ones)


@pytest.mark.parametrize(
    ("kind", "reg_par", "expected"),
    [
        ("tv", 2.5, (1.5, 2.0, 0.0)),  # of length 5, on a ball of 2.5
        ("tv", 6.0, (3.0, 4.0, 0.0)),
        ("squared", 2.0, (2.4, 3.2, 0.0)),  # divided by 1 + 1 / (2 * 2)
        ("huber-tv", 2.0, (1.2, 1.6, 0.0)),  # divided by 1 + 0.05 * 20 / 2, then on a ball of 2
        ("huber-tv", 4.0, (2.4, 3.2, 0.0)),  # divided by 1 + 0.05 * 20 / 4
    ],
)
def test_the_step_of_the_differences_is_the_proximal_map_of_the_regulariser(problem, kind, reg_par, expected):
    q = torch.tensor([3.0, 4, 0])[:, None, None, None].repeat(1, 4, 2, 6)
    solver_of(problem, regulariser=kind, huber_delta=0.05)._difference_step(q, reg_par, 1.0)
    torch.testing.assert_close(q, torch.tensor(expected)[:, None, None, None].expand_as(q))


@pytest.mark.parametrize(("reg_par", "balance"), [(0.0, 0.2), (0.01, 0.2), (0.25, 0.5), (1.0, 1.0), (4.0, 2.0), (100.0, 2.0)])
def test_steps_are_balanced_by_the_root_of_the_strength_within_bounds(problem, reg_par, balance):
    assert solver_of(problem).balance(reg_par) == pytest.approx(balance)


@pytest.mark.parametrize("degree", [1, 3])
def test_least_squares_with_a_bound_meets_the_conditions_of_optimality(problem, degree):
    """The derivative is zero for positive weights, and not negative for weights of zero."""
    solver = solver_of(problem, degree, regulariser=None)
    state = solver.run(solver.start(), 0.0, 4000)
    slope = solver.basis.adjoint(problem.A.T(problem.A(solver.volume(state.c)) - problem.data))
    scale = float(solver.basis.adjoint(problem.A.T(problem.data)).abs().max())
    free = state.c > 1e-4
    assert float(state.c.min()) == 0
    assert 0 < int(free.sum()) < free.numel()
    assert float(slope[free].abs().max()) < 1e-2 * scale
    assert float(slope.min()) > -1e-2 * scale


def test_without_a_bound_weights_are_negative_and_the_derivative_vanishes(problem):
    solver = solver_of(problem, regulariser=None, min_constraint=None)
    state = solver.run(solver.start(), 0.0, 4000)
    slope = problem.A.T(problem.A(state.c) - problem.data)
    assert float(state.c.min()) < -0.1
    assert float(slope.abs().max()) < 1e-2 * float(problem.A.T(problem.data).abs().max())


def test_every_iterate_is_watched_and_true_ends_the_iterations(problem):
    solver, norms = solver_of(problem), []
    state = solver.run(solver.start(), 0.0, 50, lambda norm: norms.append(norm) or len(norms) == 4)
    assert len(norms) == 4
    assert norms[0] == pytest.approx(problem.norm(problem.data), rel=1e-6)
    assert norms[3] == pytest.approx(problem.norm(problem.A(state.c) - problem.data), rel=1e-6)


def test_a_state_given_is_where_it_starts_and_zero_duals_are_its_own(problem):
    solver = solver_of(problem)
    weights = torch.rand(problem.x.shape)
    state = solver.start(weights)
    assert torch.equal(state.c, weights)
    assert state.c is not weights
    assert not state.y.any()
    assert not state.q.any()
    assert state.q.shape == gradient.zero_gradient(state.c).shape
    copy = state.copy()
    copy.c.zero_()
    assert torch.equal(state.c, weights)


def test_a_residual_that_is_not_finite_ends_with_one_line(problem):
    solver = solver_of(problem)
    state = solver.start(torch.full(problem.x.shape, float("inf")))
    with pytest.raises(InputError, match="not finite in iteration 1"):
        solver.run(state, 0.0, 5, lambda norm: False)
