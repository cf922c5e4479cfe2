"""Fit a spline field: first choose what the settings leave open, then fit all tilts at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from tomoprior.errors import Interrupted
from tomoprior.methods.cn import data_statistics, hyperparameters
from tomoprior.methods.cn.field import Field
from tomoprior.methods.cn.hyperparameters import Hyperparameters, HyperparameterSearch
from tomoprior.methods.cn.interrupted import BestSoFar, SplineWeights
from tomoprior.methods.cn.primal_dual import PrimalDualSolver, PrimalDualState, Units
from tomoprior.methods.cn.settings import CNSettings, SplineSettings
from tomoprior.methods.cn.spline import SplineBasis, SplineField
from tomoprior.methods.solving import strength
from tomoprior.methods.solving.problem import Problem

#: Called as ``report(iteration, total, values)``.
Report = Callable[[int, int, dict[str, float]], None]


@dataclass
class Fit:
    """A fitted field with its volume and history.

    Attributes
    ----------
    volume
        The field on the padded grid.
    history
        A list per quantity, a value per iteration.
    settled
        Values chosen for settings that the user left open, by the settings' names.
    """

    field: Field
    volume: torch.Tensor
    history: dict[str, list[float]]
    settled: dict[str, float]


class SplineFitter:
    """Problem, settings, units and iteration count that the steps of a fit share."""

    def __init__(self, problem: Problem, settings: SplineSettings, report: Report | None) -> None:
        self.problem, self.settings, self.report = problem, settings, report
        self.history: dict[str, list[float]] = {"residual": []}
        self.settled: dict[str, float] = {}
        self.best_weights = BestSoFar()
        self.iteration = 0
        self.total = count_iterations(settings)
        contrast = strength.estimate_contrast(problem)
        self.units = Units(contrast, data_statistics.measure_spread(problem), rule_of_thumb(problem, settings, contrast))

    def fit(self) -> Fit:
        """Choose what the settings leave open, then fit all tilts; raises Interrupted with the fit so far."""
        s = self.settings
        reg_par = self.units.rule if isinstance(s.reg_par, str) else s.reg_par / self.problem.weight_scale
        choice = Hyperparameters(
            degree=3 if s.degree == "held-out" else int(s.degree),
            level=0.0 if s.background == "held-out" else float(s.background),
            reg_par=0.0 if s.regulariser is None else reg_par,
            num_iter=s.num_iter,
        )
        if not hyperparameters.searches_strength(s):
            self.settled["reg_par"] = choice.reg_par * self.problem.weight_scale
        try:
            if hyperparameters.needs_search(s):
                HyperparameterSearch(self.problem, s, self.units, self._step, self.settled, self.best_weights).run(choice)
            return self._fit_all_tilts(choice)
        except KeyboardInterrupt:
            raise Interrupted(self._partial_fit(choice)) from None

    def _fit_all_tilts(self, choice: Hyperparameters) -> Fit:
        background = hyperparameters.constant_volume(self.problem, choice.level)
        problem = replace(self.problem, data=self.problem.data - self.problem.A(background)) if choice.level else self.problem
        solver = PrimalDualSolver(problem, SplineBasis(choice.degree), self.settings, self.units)
        state = self._initial_state(solver, choice, background)
        weights = self.best_weights.running = SplineWeights(choice.degree, choice.level, state.c)
        scale = self.problem.scale

        def watch(norm: float) -> bool:
            self.history["residual"].append(norm / scale)
            self._step({"residual": norm / scale})
            return False

        solver.run(state, choice.reg_par, choice.num_iter, watch, balance=solver.balance(choice.reg_par))
        return self._result(weights)

    def _initial_state(self, solver: PrimalDualSolver, choice: Hyperparameters, background: torch.Tensor) -> PrimalDualState:
        """Start from the user's volume, from the result of the search, or from zero."""
        if bool(self.problem.x.any()):
            return solver.start(
                initial_weights(self.problem.x - background, solver.basis, bound=self.settings.min_constraint is not None)
            )
        if choice.state is None or choice.keep is None:
            return solver.start()
        # the dual variables of the held-out tilts start at zero
        state = solver.start(choice.state.c)
        state.y[torch.from_numpy(choice.keep).to(state.y.device)] = choice.state.y
        state.q.copy_(choice.state.q)
        return state

    def _partial_fit(self, choice: Hyperparameters) -> Fit:
        """Return the fit after an interrupt: the search's best or the fit of all tilts, whichever explains the data better."""

        def misfit(weights: SplineWeights) -> float:
            return self.problem.norm(self.problem.A(self._volume(weights)).sub_(self.problem.data))

        weights = self.best_weights.choose(misfit)
        if weights is None:
            nodes = SplineBasis(choice.degree).nodes(tuple(self.problem.x.shape))
            weights = SplineWeights(choice.degree, choice.level, self.problem.x.new_zeros(nodes))
        if self.settings.min_constraint is not None:
            weights.c.clamp_(min=0.0)  # the interrupt may come between a step and its bound
        return self._result(weights)

    def _result(self, weights: SplineWeights) -> Fit:
        self.settled.update(degree=float(weights.degree), background=weights.level)
        nz, ny, nx = self.problem.x.shape
        field = SplineField(
            weights.c,
            (nz, ny, nx - 2 * self.problem.pad),
            weights.degree,
            pad=self.problem.pad,
            background=weights.level,
            mask=self.problem.mask,
        )
        return Fit(field, self._volume(weights), self.history, self.settled)

    def _volume(self, weights: SplineWeights) -> torch.Tensor:
        return self.problem.apply_mask_(SplineBasis(weights.degree).values(weights.c) + weights.level)

    def _step(self, values: dict[str, float]) -> None:
        self.iteration += 1
        if self.report is not None:
            self.report(min(self.iteration, self.total), self.total, values)


def rule_of_thumb(problem: Problem, settings: CNSettings, contrast: float) -> float:
    """Return the strength by the rule of ``tv``, in the units of loss and regulariser, for the problem's weights."""
    contrast = max(contrast, 1e-30)
    out = strength.RULE_FACTOR * strength.sum_tilt_weights(problem)
    if settings.loss != "l1":  # the slope of l1 has no unit; that of a square has the unit of the data
        out *= contrast
    return out / contrast if settings.regulariser == "squared" else out


def count_iterations(settings: SplineSettings) -> int:
    """Return the largest number of iterations, with all searches."""
    return settings.num_iter + hyperparameters.count_iterations(settings)


def initial_weights(volume: torch.Tensor, basis: SplineBasis, *, bound: bool) -> torch.Tensor:
    """Return the weights that start from a volume: its values, with those of its border repeated beyond the grid."""
    out = torch.nn.functional.pad(volume[None, None], (basis.reach,) * 6, mode="replicate")[0, 0]
    return out.clamp_(min=0.0) if bound else out
