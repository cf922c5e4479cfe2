"""Choose by held-out tilts what the settings of a spline fit leave open: background, degree, strength, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.methods.cn import data_statistics, held_out
from tomoprior.methods.cn.held_out import Split
from tomoprior.methods.cn.interrupted import BestSoFar, SplineWeights
from tomoprior.methods.cn.primal_dual import PrimalDualSolver, PrimalDualState, Units
from tomoprior.methods.cn.settings import SplineSettings
from tomoprior.methods.cn.spline import SplineBasis
from tomoprior.methods.solving import strength
from tomoprior.methods.solving.holding_out import is_clearly_worse
from tomoprior.methods.solving.problem import Problem

#: Iterations per trial of a strength (started from the trial before), of a degree, and of a level of the background.
TRIALS, DEGREE_TRIALS, LEVEL_TRIALS = 50, 80, 60
#: The search for the background: largest multiple of the typical level, number of bisections, and the factor to the best error
#: from which a level fails.
MAX_LEVEL, HALVINGS, LEVEL_FAILS = 1.5, 10, 1.02
#: The search for the strength starts at this multiple of the strength for noise of the measured size, and goes down.
FIRST_STRENGTH = 4.0
#: Iterations between two predictions of the held-out tilts; the fit ends after so many predictions without a gain.
CHECK_INTERVAL, PATIENCE = 20, 4
#: Degrees to choose from, and the part of the data's squares that smoother splines may leave unexplained.
DEGREES_TRIED, UNEXPLAINED = (1, 3, 5), 1e-3
#: Smallest strength, as a part of the rule of thumb: weaker ones make no difference within the iterations.
MIN_STRENGTH = 1 / 64


@dataclass
class Hyperparameters:
    """Parameters of the fit of all tilts.

    Attributes
    ----------
    level
        Level of the background, per voxel.
    reg_par
        Strength for the problem's weights.
    state, keep
        Result of the search for the strength, and the tilts that it was fitted to; or None.
    """

    degree: int
    level: float
    reg_par: float
    num_iter: int
    state: PrimalDualState | None = None
    keep: NDArray[np.intp] | None = None


class HyperparameterSearch:
    """Chooses the open parameters one after another, each with the results before.

    Parameters
    ----------
    problem
        All tilts.
    step
        Called once an iteration, with values to report.
    settled
        Receives the chosen values, by the names of the settings.
    best_weights
        Receives the best weights so far.
    """

    def __init__(
        self,
        problem: Problem,
        settings: SplineSettings,
        units: Units,
        step: Callable[[dict[str, float]], None],
        settled: dict[str, float],
        best_weights: BestSoFar,
    ) -> None:
        self.problem, self.settings, self.units = problem, settings, units
        self.step, self.settled, self.best_weights = step, settled, best_weights

    def run(self, choice: Hyperparameters) -> None:
        """Set the parameters in ``choice`` that the settings leave open; raises InputError with fewer than five tilts."""
        s = self.settings
        split = Split.from_problem(self.problem)
        if s.background == "held-out":
            choice.level = self._search_level(split)
        split = split.subtract(constant_volume(self.problem, choice.level))
        if s.degree == "held-out":
            choice.degree = self._search_degree(split, choice.level)
        solver = self._make_solver(split, choice.degree)
        if searches_strength(s):
            choice.reg_par, choice.state = self._search_strength(split, solver, choice.level)
            choice.keep = split.keep
        if s.stop == "held-out":
            choice.num_iter = self._search_stop(split, solver, choice)
            self.settled["num_iter"] = float(choice.num_iter)

    def _search_level(self, split: Split) -> float:
        """Return the highest background that still predicts the held-out tilts, by bisection.

        Below the true level the data contradict nothing; above it the prediction fails at once. The splines are the sharpest
        and the penalty is weak, because smooth splines and a strong penalty hide the effect of a wrong level.
        """
        best = np.array([np.inf])
        scale = split.test.scale

        def fails(level: float) -> bool:
            nonlocal best
            part = split.subtract(constant_volume(self.problem, level))
            solver = self._make_solver(part, 1)
            errors = self._run_trial(part, solver, solver.start(), level, self.units.rule / 8, LEVEL_TRIALS, "level")
            # relative to the measured data, with the background
            errors *= (part.test.scale / scale) ** 2
            if errors.sum() < best.sum():
                best = errors
            return bool(errors.sum() > LEVEL_FAILS**2 * best.sum()) and is_clearly_worse(errors, best)

        low, high = 0.0, MAX_LEVEL * data_statistics.estimate_level(self.problem)
        fails(low)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if fails(middle) else (middle, high)
        return low

    def _search_degree(self, split: Split, level: float) -> int:
        """Return the highest degree that explains the held-out tilts hardly worse than the best: it invents the least detail.

        A sharp object on smooth splines leaves several times ``UNEXPLAINED``, a smooth object less than half of it (measured).
        """
        reg_par = self.units.rule / 8 + 0.5 * self._noise_strength()
        errors: dict[int, float] = {}
        for degree in DEGREES_TRIED:
            solver = self._make_solver(split, degree)
            errors[degree] = float(self._run_trial(split, solver, solver.start(), level, reg_par, DEGREE_TRIALS).sum())
        return max(degree for degree, error in errors.items() if error <= min(errors.values()) + UNEXPLAINED)

    def _search_strength(self, split: Split, solver: PrimalDualSolver, level: float) -> tuple[float, PrimalDualState]:
        """Return the strength, and the state that belongs to it."""
        totals: dict[float, float] = {}
        last = best = solver.start()

        def trial(value: float) -> NDArray[np.float64]:
            nonlocal last, best
            # ever smaller strengths continue from the trial before; the last ones start from the best
            last = (last if value < min(totals, default=float("inf")) else best).copy()
            errors = self._run_trial(split, solver, last, level, value, TRIALS)
            if errors.sum() < min(totals.values(), default=float("inf")):
                best = last
            totals[value] = float(errors.sum())
            return errors

        strongest, error = held_out.search_number(trial, self._first_strength(), MIN_STRENGTH * self.units.rule)
        self.settled.update(reg_par=strongest * self.problem.weight_scale, held_out_error=error)
        return strongest, best

    def _first_strength(self) -> float:
        """Return the first strength to try: suitable for noise of the measured size, and at least the rule of thumb."""
        if self.settings.regulariser == "squared" or self.settings.loss == "l1":
            return 16 * self.units.rule
        return FIRST_STRENGTH * (self.units.rule + self._noise_strength())

    def _search_stop(self, split: Split, solver: PrimalDualSolver, choice: Hyperparameters) -> int:
        """Return the number of iterations that predicts the held-out tilts best: later iterations fit errors of the data."""
        state = solver.start() if choice.state is None else choice.state.copy()
        self.best_weights.start_trial(SplineWeights(choice.degree, choice.level, state.c))
        count, worse, best = 0, 0, (float("inf"), 0)

        def watch(norm: float) -> bool:
            nonlocal count, worse, best
            if count % CHECK_INTERVAL == 0 and count:
                error = math.sqrt(_prediction_errors(split, solver, state.c).sum())
                worse = 0 if error < best[0] else worse + 1
                if not worse:
                    current = SplineWeights(choice.degree, choice.level, state.c.clone())
                    self.best_weights.offer(current, (error * split.test.scale) ** 2)
                best = min(best, (error, count))
            count += 1
            self.step({"stop": best[0] if best[1] else norm / scale})
            return worse == PATIENCE

        scale = self.problem.scale
        balance = solver.balance(choice.reg_par)
        solver.run(state, choice.reg_par * split.share, choice.num_iter + 1, watch, balance=balance)
        return best[1] or choice.num_iter

    def _run_trial(
        self,
        split: Split,
        solver: PrimalDualSolver,
        state: PrimalDualState,
        level: float,
        reg_par: float,
        num_iter: int,
        what: str = "search",
    ) -> NDArray[np.float64]:
        """Iterate from ``state``, in place, at a strength for all tilts; return squared errors of the held-out tilts."""
        weights, scale = SplineWeights(solver.basis.degree, level, state.c), split.train.scale

        def watch(norm: float) -> bool:
            self.step({what: norm / scale})
            return False

        self.best_weights.start_trial(weights)
        solver.run(
            state, reg_par * split.share, num_iter, watch, balance=max(1.0, reg_par / (strength.STRONG * self.units.rule))
        )
        errors = _prediction_errors(split, solver, state.c)
        self.best_weights.offer(weights, float(errors.sum()) * split.test.scale**2)
        return errors

    def _make_solver(self, split: Split, degree: int) -> PrimalDualSolver:
        return PrimalDualSolver(split.train, SplineBasis(degree), self.settings, self.units)

    def _noise_strength(self) -> float:
        """Return the strength that suits noise of the measured size."""
        return data_statistics.estimate_noise(self.problem) * math.sqrt(strength.sum_tilt_weights(self.problem))


def _prediction_errors(split: Split, solver: PrimalDualSolver, c: torch.Tensor) -> NDArray[np.float64]:
    """Return ``Split.prediction_errors`` of the weights ``c`` on the solver's nodes."""
    return split.prediction_errors(split.test.A(solver.volume(c)))


def constant_volume(problem: Problem, level: float) -> torch.Tensor:
    """Return a volume that is ``level`` inside the mask."""
    return problem.apply_mask_(torch.full_like(problem.x, level))


def searches_strength(settings: SplineSettings) -> bool:
    """Return True if held-out tilts choose the strength."""
    return settings.reg_par == "held-out" and settings.regulariser is not None


def needs_search(settings: SplineSettings) -> bool:
    """Return True if tilts are held out before the fit of all tilts."""
    return searches_strength(settings) or "held-out" in (settings.degree, settings.background, settings.stop)


def count_iterations(settings: SplineSettings) -> int:
    """Return the largest number of iterations of all searches; a search may end earlier."""
    total = 0
    if searches_strength(settings):
        total += (2 * held_out.MAX_STEPS + 3) * TRIALS
    if settings.degree == "held-out":
        total += len(DEGREES_TRIED) * DEGREE_TRIALS
    if settings.stop == "held-out":
        total += settings.num_iter + 1
    if settings.background == "held-out":
        total += (HALVINGS + 1) * LEVEL_TRIALS
    return total
