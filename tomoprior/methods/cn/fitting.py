"""Fitting a spline field from start to end: what the settings leave open first, then all tilts at once."""

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
from tomoprior.methods.cn.settings import CNSettings
from tomoprior.methods.cn.spline import SplineBasis, SplineField
from tomoprior.methods.solving import strength
from tomoprior.methods.solving.problem import Problem

#: ``report(iteration, total, values)``
Report = Callable[[int, int, dict[str, float]], None]


@dataclass
class Fit:
    """A fitted field with how it came about.

    Attributes
    ----------
    volume
        The field on the padded grid.
    history
        A list per quantity, a value per iteration.
    settled
        Settings that were left open, as they were chosen.
    """

    field: Field
    volume: torch.Tensor
    history: dict[str, list[float]]
    settled: dict[str, float]


class SplineFitter:
    """Holds what the steps share: problem, settings, units and the count of iterations for the progress."""

    def __init__(self, problem: Problem, settings: CNSettings, report: Report | None) -> None:
        self.whole, self.settings, self.report = problem, settings, report
        self.history: dict[str, list[float]] = {"residual": []}
        self.settled: dict[str, float] = {}
        self.kept = BestSoFar()
        self.done = 0
        self.total = count_iterations(settings)
        contrast = strength.estimate_contrast(problem)
        self.units = Units(contrast, data_statistics.measure_spread(problem), rule_of_thumb(problem, settings, contrast))

    def fit(self) -> Fit:
        """Settle what is open, then iterate on all tilts; raises Interrupted with the fit so far."""
        s = self.settings
        reg_par = self.units.rule if isinstance(s.reg_par, str) else s.reg_par / self.whole.weight_scale
        choice = Hyperparameters(
            degree=3 if s.degree == "held-out" else int(s.degree),
            level=0.0 if s.background == "held-out" else float(s.background),
            reg_par=0.0 if s.regulariser == "none" else reg_par,
            num_iter=s.num_iter,
        )
        if not hyperparameters.searches_strength(s):
            self.settled["reg_par"] = choice.reg_par * self.whole.weight_scale
        try:
            if hyperparameters.needs_search(s):
                HyperparameterSearch(self.whole, s, self.units, self._step, self.settled, self.kept).settle(choice)
            return self._final(choice)
        except KeyboardInterrupt:
            raise Interrupted(self._so_far(choice)) from None

    def _final(self, choice: Hyperparameters) -> Fit:
        background = hyperparameters.constant_volume(self.whole, choice.level)
        problem = replace(self.whole, data=self.whole.data - self.whole.A(background)) if choice.level else self.whole
        solver = PrimalDualSolver(problem, SplineBasis(choice.degree), self.settings, self.units)
        begin = self._begin(solver, choice, background)
        weights = self.kept.running = SplineWeights(choice.degree, choice.level, begin.c)
        scale = self.whole.scale

        def watch(norm: float) -> bool:
            self.history["residual"].append(norm / scale)
            self._step({"residual": norm / scale})
            return False

        solver.run(begin, choice.reg_par, choice.num_iter, watch, balance=solver.balance(choice.reg_par))
        return self._result(weights)

    def _begin(self, solver: PrimalDualSolver, choice: Hyperparameters, background: torch.Tensor) -> PrimalDualState:
        """A volume given, where the search has got to, or nothing."""
        if bool(self.whole.x.any()):
            return solver.start(
                initial_weights(self.whole.x - background, solver.basis, bound=self.settings.activation == "bound")
            )
        if choice.state is None or choice.keep is None:
            return solver.start()
        # what the search found is a better start than nothing: the duals of the tilts left out begin at zero
        begin = solver.start(choice.state.c)
        begin.y[torch.from_numpy(choice.keep).to(begin.y.device)] = choice.state.y
        begin.q.copy_(choice.state.q)
        return begin

    def _so_far(self, choice: Hyperparameters) -> Fit:
        """What an interrupt leaves: of the search's best and the fit of all tilts, what explains the projections better."""

        def misfit(weights: SplineWeights) -> float:
            return self.whole.norm(self.whole.A(self._volume(weights)).sub_(self.whole.data))

        found = self.kept.choose(misfit)
        if found is None:
            nodes = SplineBasis(choice.degree).nodes(tuple(self.whole.x.shape))
            found = SplineWeights(choice.degree, choice.level, self.whole.x.new_zeros(nodes))
        if self.settings.activation == "bound":
            found.c.clamp_(min=0.0)  # it may have come between a step and its bound
        return self._result(found)

    def _result(self, weights: SplineWeights) -> Fit:
        self.settled.update(degree=float(weights.degree), background=weights.level)
        nz, ny, nx = self.whole.x.shape
        field = SplineField(
            weights.c,
            (nz, ny, nx - 2 * self.whole.pad),
            weights.degree,
            pad=self.whole.pad,
            background=weights.level,
            mask=self.whole.mask,
        )
        return Fit(field, self._volume(weights), self.history, self.settled)

    def _volume(self, weights: SplineWeights) -> torch.Tensor:
        return self.whole.apply_mask_(SplineBasis(weights.degree).values(weights.c) + weights.level)

    def _step(self, values: dict[str, float]) -> None:
        self.done += 1
        if self.report is not None:
            self.report(min(self.done, self.total), self.total, values)


def rule_of_thumb(problem: Problem, settings: CNSettings, contrast: float) -> float:
    """The strength that ``tv`` takes by rule, in the units that loss and regulariser have, against the problem's weights."""
    contrast = max(contrast, 1e-30)
    out = strength.RULE_FACTOR * strength.sum_tilt_weights(problem)
    if settings.loss != "l1":  # the slope of l1 has no unit, that of a square has the data's
        out *= contrast
    return out / contrast if settings.regulariser == "squared" else out


def count_iterations(settings: CNSettings) -> int:
    """Iterations in all, searches included, at most."""
    return settings.num_iter + hyperparameters.count_iterations(settings)


def initial_weights(volume: torch.Tensor, basis: SplineBasis, *, bound: bool) -> torch.Tensor:
    """Weights to start from for a volume: a copy of its values, and of those of its border beyond."""
    out = torch.nn.functional.pad(volume[None, None], (basis.reach,) * 6, mode="replicate")[0, 0]
    return out.clamp_(min=0.0) if bound else out
