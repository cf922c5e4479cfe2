"""What the settings of a spline fit leave open - background, degree, strength, when to stop - asked of the tilts held out."""

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
from tomoprior.methods.cn.settings import CNSettings
from tomoprior.methods.cn.spline import SplineBasis
from tomoprior.methods.solving import strength
from tomoprior.methods.solving.problem import Problem

#: Iterations at each strength tried (warm-started from the one before), at each degree, and at each level of the background.
TRIALS, DEGREE_TRIALS, LEVEL_TRIALS = 50, 80, 60
#: The background is looked for up to this multiple of the typical level, in this many halvings; it fails where the error is
#: this many times the best.
MAX_LEVEL, HALVINGS, LEVEL_FAILS = 1.5, 10, 1.02
#: The search begins at the strength that noise of the measured size asks for, times this; the rest of the way is down.
FIRST_STRENGTH = 4.0
#: The tilts held out are looked at after every so many iterations; after so many looks without a gain the fit has gone too far.
CHECK_INTERVAL, PATIENCE = 20, 4
#: Degrees that tilts held out choose from, and what part of the data's squares smoother splines may leave unexplained.
DEGREES_TRIED, UNEXPLAINED = (1, 3, 5), 1e-3
#: Below this part of the rule a strength makes no difference that the iterations could show.
MIN_STRENGTH = 1 / 64


@dataclass
class Hyperparameters:
    """How all tilts are to be fitted.

    Attributes
    ----------
    level
        Of the background, per voxel.
    reg_par
        Strength against the problem's weights.
    state, keep
        Where the search for the strength has got to, and the tilts that it was fitted to; or None.
    """

    degree: int
    level: float
    reg_par: float
    num_iter: int
    state: PrimalDualState | None = None
    keep: NDArray[np.intp] | None = None


class HyperparameterSearch:
    """Settles what is open, one question after another, each with the answers before.

    Parameters
    ----------
    problem
        All tilts.
    step
        Called once an iteration, with what there is to report.
    settled
        Takes up what was chosen, by the names of the settings.
    kept
        Takes up the best weights so far.
    """

    def __init__(
        self,
        problem: Problem,
        settings: CNSettings,
        units: Units,
        step: Callable[[dict[str, float]], None],
        settled: dict[str, float],
        kept: BestSoFar,
    ) -> None:
        self.whole, self.settings, self.units = problem, settings, units
        self.step, self.settled, self.kept = step, settled, kept

    def settle(self, choice: Hyperparameters) -> None:
        """Replace what the settings leave open in ``choice``; raises InputError with too few tilts to hold some out."""
        s = self.settings
        split = Split.of(self.whole)
        if s.background == "held-out":
            choice.level = self._level(split)
        split = split.without(constant_volume(self.whole, choice.level))
        if s.degree == "held-out":
            choice.degree = self._degree(split, choice.level)
        solver = self._solver(split, choice.degree)
        if searches_strength(s):
            choice.reg_par, choice.state = self._strength(split, solver, choice.level)
            choice.keep = split.keep
        if s.stop == "held-out":
            choice.num_iter = self._stop(split, solver, choice)
            self.settled["num_iter"] = float(choice.num_iter)

    def _level(self, split: Split) -> float:
        """The highest background with which the tilts held out are still predicted, by bisection.

        Below the true level nothing contradicts the data, above it the prediction fails at once. The splines are the sharpest
        and the penalty is weak, as both hide what a wrong level does.
        """
        best = np.array([np.inf])
        scale = split.test.scale

        def fails(level: float) -> bool:
            nonlocal best
            part = split.without(constant_volume(self.whole, level))
            solver = self._solver(part, 1)
            errors = self._trial(part, solver, solver.start(), level, self.units.rule / 8, LEVEL_TRIALS, "level")
            # in parts of what was measured, whatever was taken off it
            errors *= (part.test.scale / scale) ** 2
            if errors.sum() < best.sum():
                best = errors
            return bool(errors.sum() > LEVEL_FAILS**2 * best.sum()) and held_out.is_clearly_worse(errors, best)

        low, high = 0.0, MAX_LEVEL * data_statistics.estimate_level(self.whole)
        fails(low)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if fails(middle) else (middle, high)
        return low

    def _degree(self, split: Split, level: float) -> int:
        """The smoothest splines that explain the tilts held out hardly worse than the best: what they smooth is inferred less.

        A sharp object on smooth splines leaves several times ``UNEXPLAINED``, a smooth one less than half of it (measured).
        """
        reg_par = self.units.rule / 8 + 0.5 * self._noise()
        errors: dict[int, float] = {}
        for degree in DEGREES_TRIED:
            solver = self._solver(split, degree)
            errors[degree] = float(self._trial(split, solver, solver.start(), level, reg_par, DEGREE_TRIALS).sum())
        return max(degree for degree, error in errors.items() if error <= min(errors.values()) + UNEXPLAINED)

    def _strength(self, split: Split, solver: PrimalDualSolver, level: float) -> tuple[float, PrimalDualState]:
        """The strength, and the state at it."""
        totals: dict[float, float] = {}
        last = best = solver.start()

        def trial(value: float) -> NDArray[np.float64]:
            nonlocal last, best
            # the walk goes on from where it is; beside the best it begins there
            last = (last if value < min(totals, default=float("inf")) else best).copy()
            errors = self._trial(split, solver, last, level, value, TRIALS)
            if errors.sum() < min(totals.values(), default=float("inf")):
                best = last
            totals[value] = float(errors.sum())
            return errors

        found, error = held_out.search_number(trial, self._highest(), MIN_STRENGTH * self.units.rule)
        self.settled.update(reg_par=found * self.whole.weight_scale, held_out_error=error)
        return found, best

    def _highest(self) -> float:
        """The strength to begin with: what noise of the measured size asks for, and never below the rule."""
        if self.settings.regulariser == "squared" or self.settings.loss == "l1":
            return 16 * self.units.rule
        return FIRST_STRENGTH * (self.units.rule + self._noise())

    def _stop(self, split: Split, solver: PrimalDualSolver, choice: Hyperparameters) -> int:
        """After how many iterations the tilts held out are predicted best: later ones fit what is wrong with the data."""
        state = solver.start() if choice.state is None else choice.state.copy()
        self.kept.trial(SplineWeights(choice.degree, choice.level, state.c))
        count, worse, best = 0, 0, (float("inf"), 0)

        def watch(norm: float) -> bool:
            nonlocal count, worse, best
            if count % CHECK_INTERVAL == 0 and count:
                error = math.sqrt(_prediction_errors(split, solver, state.c).sum())
                worse = 0 if error < best[0] else worse + 1
                if not worse:
                    here = SplineWeights(choice.degree, choice.level, state.c.clone())
                    self.kept.offer(here, (error * split.test.scale) ** 2)
                best = min(best, (error, count))
            count += 1
            self.step({"stop": best[0] if best[1] else norm / scale})
            return worse == PATIENCE

        scale = self.whole.scale
        balance = solver.balance(choice.reg_par)
        solver.run(state, choice.reg_par * split.share, choice.num_iter + 1, watch, balance=balance)
        return best[1] or choice.num_iter

    def _trial(
        self,
        split: Split,
        solver: PrimalDualSolver,
        state: PrimalDualState,
        level: float,
        reg_par: float,
        num_iter: int,
        what: str = "search",
    ) -> NDArray[np.float64]:
        """Iterate from ``state``, in place, at a strength against all tilts; squared errors of the tilts held out."""
        weights, scale = SplineWeights(solver.basis.degree, level, state.c), split.train.scale

        def watch(norm: float) -> bool:
            self.step({what: norm / scale})
            return False

        self.kept.trial(weights)
        solver.run(state, reg_par * split.share, num_iter, watch)
        errors = _prediction_errors(split, solver, state.c)
        self.kept.offer(weights, float(errors.sum()) * split.test.scale**2)
        return errors

    def _solver(self, split: Split, degree: int) -> PrimalDualSolver:
        return PrimalDualSolver(split.train, SplineBasis(degree), self.settings, self.units)

    def _noise(self) -> float:
        """The strength against noise of the size that the projections show."""
        return data_statistics.estimate_noise(self.whole) * math.sqrt(strength.sum_tilt_weights(self.whole))


def _prediction_errors(split: Split, solver: PrimalDualSolver, c: torch.Tensor) -> NDArray[np.float64]:
    """Squared errors of the tilts held out, as ``Split.errors`` gives them, by weights ``c`` on the solver's nodes."""
    return split.errors(split.test.A(solver.volume(c)))


def constant_volume(problem: Problem, level: float) -> torch.Tensor:
    """A volume of ``level`` inside the mask."""
    return problem.apply_mask_(torch.full_like(problem.x, level))


def searches_strength(settings: CNSettings) -> bool:
    """Whether the strength is a question."""
    return settings.reg_par == "held-out" and settings.regulariser != "none"


def needs_search(settings: CNSettings) -> bool:
    """Whether tilts are held out before all are fitted."""
    return searches_strength(settings) or "held-out" in (settings.degree, settings.background, settings.stop)


def count_iterations(settings: CNSettings) -> int:
    """Iterations of all questions, at most, as a search ends when it has found what it looks for."""
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
