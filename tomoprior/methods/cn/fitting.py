"""Fitting a spline field from start to end: what the settings leave open first, then all tilts at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.errors import Interrupted
from tomoprior.methods.classical import strength
from tomoprior.methods.classical.problem import Problem
from tomoprior.methods.cn import held_out, levels
from tomoprior.methods.cn.field import Field
from tomoprior.methods.cn.held_out import Split
from tomoprior.methods.cn.primal_dual import Solver, State, Units
from tomoprior.methods.cn.settings import CNSettings
from tomoprior.methods.cn.spline import SplineBasis, SplineField

#: Iterations at each strength tried (warm-started from the one before), at each degree, and at each level of the background.
TRIALS, DEGREE_TRIALS, LEVEL_TRIALS = 50, 80, 60
#: The background is looked for up to this multiple of the typical level, in this many halvings; it fails where the error is
#: this many times the best.
HIGHEST, HALVINGS, WORSE = 1.5, 10, 1.02
#: The search begins at the strength that noise of the measured size asks for, times this; the rest of the way is down.
ABOVE = 4.0
#: The tilts held out are looked at after every so many iterations; after so many looks without a gain the fit has gone too far.
CHECKED, PATIENCE = 20, 4
#: Degrees that tilts held out choose from, and what part of the data's squares smoother splines may leave unexplained.
TRIED, UNEXPLAINED = (1, 3, 5), 1e-3
#: Below this part of the rule a strength makes no difference that the iterations could show.
LEAST = 1 / 64

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
        self._scale = problem.scale
        self.done = 0
        self.total = iterations(settings)
        contrast = strength.contrast(problem)
        self.rule = rule(problem, settings, contrast)
        self.units = Units(contrast, levels.spread(problem), self.rule)

    def fit(self) -> Fit:
        """Settle what is open, then iterate on all tilts; raises Interrupted with the fit so far."""
        s = self.settings
        split = Split.of(self.whole) if searches(s) else None
        degree = 3 if s.degree == "held-out" else int(s.degree)
        level = 0.0 if s.background == "held-out" else float(s.background)
        reg_par = self.rule if isinstance(s.reg_par, str) else s.reg_par / self.whole.w_scale
        reg_par = 0.0 if s.regulariser == "none" else reg_par
        state: State | None = None
        self._current: tuple[int, float, torch.Tensor | None] = (degree, level, None)
        try:
            if split is not None and s.background == "held-out":
                level = self._level(split)
                self._current = (degree, level, None)
            if split is not None:
                split = split.without(self._constant(level))
            if split is not None and s.degree == "held-out":
                degree = self._degree(split)
            if split is not None and s.reg_par == "held-out" and s.regulariser != "none":
                reg_par, state = self._strength(split, degree)
            self.settled.update(reg_par=reg_par * self.whole.w_scale, degree=float(degree), background=level)
            num_iter = s.num_iter
            if split is not None and s.stop == "held-out":
                num_iter = self._stop(split, degree, reg_par, state)
                self.settled["num_iter"] = float(num_iter)
            return self._final(split, degree, level, reg_par, state, num_iter)
        except KeyboardInterrupt:
            raise Interrupted(self._result(*self._current)) from None

    def _final(self, split: Split | None, degree: int, level: float, reg_par: float, state: State | None, num_iter: int) -> Fit:
        basis = SplineBasis(degree)
        background = self._constant(level)
        problem = replace(self.whole, p=self.whole.p - self.whole.A(background)) if level else self.whole
        solver = Solver(problem, basis, self.settings, self.units)
        if bool(self.whole.x.any()):
            begin = solver.start(on_nodes(self.whole.x - background, basis, bound=self.settings.activation == "bound"))
        elif state is not None and split is not None:
            # what the search found is a better start than nothing: the duals of the tilts left out begin at zero
            begin = solver.start(state.c)
            begin.y[torch.from_numpy(split.keep).to(begin.y.device)] = state.y
            begin.q.copy_(state.q)
        else:
            begin = solver.start()
        self._current = (degree, level, begin.c)

        def watch(norm: float) -> bool:
            self.history["residual"].append(norm / self._scale)
            self._step({"residual": norm / self._scale})
            return False

        solver.run(begin, reg_par, num_iter, watch, balance=solver.balance(reg_par))
        return self._result(degree, level, begin.c)

    def _strength(self, split: Split, degree: int) -> tuple[float, State]:
        """The strength, and the state at it."""
        solver = Solver(split.train, SplineBasis(degree), self.settings, self.units)
        totals: dict[float, float] = {}
        last = best = solver.start()

        def trial(value: float) -> NDArray[np.float64]:
            nonlocal last, best
            # the walk goes on from where it is; beside the best it begins there
            begin = last if value < min(totals, default=float("inf")) else best
            last = solver.run(copied(begin), value * split.share, TRIALS, self._watch(split.train, "search"))
            errors = split.errors(self._predict(split, last.c, degree))
            if errors.sum() < min(totals.values(), default=float("inf")):
                best = last
            totals[value] = float(errors.sum())
            return errors

        found, self.settled["held_out_error"] = held_out.search(trial, self._highest(), LEAST * self.rule)
        return found, best

    def _highest(self) -> float:
        """The strength to begin with: what noise of the measured size asks for, and never below the rule."""
        if self.settings.regulariser == "squared" or self.settings.loss == "l1":
            return 16 * self.rule
        return ABOVE * (self.rule + levels.noise(self.whole) * math.sqrt(strength.total_weight(self.whole)))

    def _degree(self, split: Split) -> int:
        """The smoothest splines that explain the tilts held out hardly worse than the best: what they smooth is inferred less.

        A sharp object on smooth splines leaves several times ``UNEXPLAINED``, a smooth one less than half of it (measured).
        """
        reg_par = self.rule / 8 + 0.5 * levels.noise(self.whole) * math.sqrt(strength.total_weight(self.whole))
        errors: dict[int, float] = {}
        for degree in TRIED:
            solver = Solver(split.train, SplineBasis(degree), self.settings, self.units)
            here = solver.run(solver.start(), reg_par * split.share, DEGREE_TRIALS, self._watch(split.train, "search"))
            errors[degree] = float(split.errors(self._predict(split, here.c, degree)).sum())
        return max(degree for degree, error in errors.items() if error <= min(errors.values()) + UNEXPLAINED)

    def _stop(self, split: Split, degree: int, reg_par: float, state: State | None) -> int:
        """After how many iterations the tilts held out are predicted best: later ones fit what is wrong with the data."""
        solver = Solver(split.train, SplineBasis(degree), self.settings, self.units)
        state = solver.start() if state is None else copied(state)
        count, worse, best = 0, 0, (float("inf"), 0)

        def watch(norm: float) -> bool:
            nonlocal count, worse, best
            if count % CHECKED == 0 and count:
                error = math.sqrt(split.errors(self._predict(split, state.c, degree)).sum())
                worse = 0 if error < best[0] else worse + 1
                best = min(best, (error, count))
            count += 1
            self._step({"stop": best[0] if best[1] else norm / self._scale})
            return worse == PATIENCE

        num_iter = self.settings.num_iter
        solver.run(state, reg_par * split.share, num_iter + 1, watch, balance=solver.balance(reg_par))
        return best[1] or num_iter

    def _level(self, split: Split) -> float:
        """The highest background with which the tilts held out are still predicted, by bisection.

        Below the true level nothing contradicts the data, above it the prediction fails at once. The splines are the sharpest
        and the penalty is weak, as both hide what a wrong level does.
        """
        basis = SplineBasis(1)
        best = np.array([np.inf])

        def fails(level: float) -> bool:
            nonlocal best
            part = split.without(self._constant(level))
            solver = Solver(part.train, basis, self.settings, self.units)
            here = solver.run(solver.start(), self.rule / 8 * split.share, LEVEL_TRIALS, self._watch(part.train, "level"))
            # in parts of what was measured, whatever was taken off it
            errors = part.errors(self._predict(part, here.c, 1)) * (part.test.scale / scale) ** 2
            if errors.sum() < best.sum():
                best = errors
            return bool(errors.sum() > WORSE**2 * best.sum()) and held_out.told_apart(errors, best)

        scale = split.test.scale
        low, high = 0.0, HIGHEST * levels.typical(self.whole)
        fails(low)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if fails(middle) else (middle, high)
        return low

    def _predict(self, split: Split, c: torch.Tensor, degree: int) -> torch.Tensor:
        values = SplineBasis(degree).values(c)
        return split.test.A(values if self.whole.mask is None else values * self.whole.mask)

    def _constant(self, level: float) -> torch.Tensor:
        out = torch.full_like(self.whole.x, level)
        return self.whole.masked(out)

    def _result(self, degree: int, level: float, c: torch.Tensor | None) -> Fit:
        basis, problem = SplineBasis(degree), self.whole
        if c is None:
            c = problem.x.new_zeros(basis.nodes(tuple(problem.x.shape)))
        nz, ny, nx = problem.x.shape
        field = SplineField(c, (nz, ny, nx - 2 * problem.pad), degree, pad=problem.pad, background=level, mask=problem.mask)
        volume = problem.masked(basis.values(c) + level)
        return Fit(field, volume, self.history, self.settled)

    def _watch(self, problem: Problem, what: str) -> Callable[[float], bool]:
        scale = problem.scale

        def watch(norm: float) -> bool:
            self._step({what: norm / scale})
            return False

        return watch

    def _step(self, values: dict[str, float]) -> None:
        self.done += 1
        if self.report is not None:
            self.report(min(self.done, self.total), self.total, values)


def rule(problem: Problem, settings: CNSettings, contrast: float) -> float:
    """The strength that ``tv`` takes by rule, in the units that loss and regulariser have, against the problem's weights."""
    contrast = max(contrast, 1e-30)
    out = strength.RULE * strength.total_weight(problem)
    if settings.loss != "l1":  # the slope of l1 has no unit, that of a square has the data's
        out *= contrast
    return out / contrast if settings.regulariser == "squared" else out


def searches(settings: CNSettings) -> bool:
    """Whether tilts are held out before all are fitted."""
    strengths = settings.reg_par == "held-out" and settings.regulariser != "none"
    return strengths or "held-out" in (settings.degree, settings.background, settings.stop)


def iterations(settings: CNSettings) -> int:
    """Iterations in all, searches included: at most, as a search ends when it has found what it looks for."""
    total = settings.num_iter
    if settings.reg_par == "held-out" and settings.regulariser != "none":
        total += (2 * held_out.MOST + 3) * TRIALS
    if settings.degree == "held-out":
        total += len(TRIED) * DEGREE_TRIALS
    if settings.stop == "held-out":
        total += settings.num_iter + 1
    if settings.background == "held-out":
        total += (HALVINGS + 1) * LEVEL_TRIALS
    return total


def on_nodes(volume: torch.Tensor, basis: SplineBasis, *, bound: bool) -> torch.Tensor:
    """Weights to start from for a volume: its values, and those of its border beyond."""
    out = resized(volume, basis.reach)
    return out.clamp_(min=0.0) if bound else out


def resized(c: torch.Tensor, by: int) -> torch.Tensor:
    """``c`` with ``by`` more nodes at either end of every axis (copies of the last), or fewer."""
    if by > 0:
        return torch.nn.functional.pad(c[None, None], (by,) * 6, mode="replicate")[0, 0]
    return c[tuple(slice(-by, n + by) for n in c.shape)].clone()


def copied(state: State) -> State:
    """A state of its own memory."""
    return State(state.c.clone(), state.y.clone(), state.q.clone())
