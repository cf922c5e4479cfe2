"""How strong a penalty should be when the user leaves it open: by a rule, or by the tilts that it predicts best."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.errors import InputError
from tomoprior.methods.solving import gradient
from tomoprior.methods.solving.iterative import IterativeSettings, Monitor
from tomoprior.methods.solving.least_squares import solve_least_squares
from tomoprior.methods.solving.problem import Problem, select_tilts

#: The rule: strength = RULE * (sum of the tilts' weights) * (height of typical contrast). A feature r voxels wide loses about
#: strength / (n_angles * r) of its height, so this costs a feature three voxels wide less than 1 %.
RULE = 0.005
#: One tilt in this many is held out, never the first or the last: beyond them would be extrapolation.
HELD_OUT = 5
#: Strengths tried at most, in units of the rule's: from an almost flat volume down to almost no penalty. Projections with as
#: much noise as signal want about a hundred times the rule, noise-free ones an eighth of it or less.
FACTORS = tuple(2.0**k for k in range(10, -7, -1))
#: Iterations for each, enough since they go on where the stronger one before ended.
TRIAL_ITERATIONS = 30
#: The search ends where the error has risen so many times in a row.
RISES = 2
#: From this multiple of the rule on, the steps are balanced for the strength: dual variables have as far to go as it is large,
#: and otherwise thirty iterations would end before it makes itself felt.
STRONG = 8.0


@dataclass(frozen=True)
class HeldOutSplit:
    """Tilts in two: those that are fitted, and those that they have to predict.

    Attributes
    ----------
    keep, out
        Indices of the tilts fitted and of those held out. Tilts without weight are in neither.
    trust
        Mean weight of every tilt, ``(n_angles,)``.
    """

    keep: NDArray[np.intp]
    out: NDArray[np.intp]
    trust: NDArray[np.float64]

    @property
    def share(self) -> float:
        """Part of the tilts' weight in ``keep``: a strength against these is that against all times this."""
        return float(self.trust[self.keep].sum() / self.trust.sum())


@dataclass
class DualVariables:
    """What a solver goes on from beside the volume, and changes in place, so that a path of strengths is one run.

    Attributes
    ----------
    y, q
        Dual variables of the data, ``A.range_shape``, and of the penalty, ``(3, nz, ny, nx)``.
    balance
        Factor of the dual steps, and divisor of the primal ones.
    """

    y: torch.Tensor
    q: torch.Tensor
    balance: float = 1.0


#: Problem (its x is the start), settings, strength, monitor, and the duals to go on from or None.
Solver = Callable[[Problem, Any, float, Monitor, DualVariables | None], torch.Tensor]


def resolve_strength(problem: Problem, settings: Any, solver: Solver) -> float:
    """``settings.reg_par`` as a number against ``problem``'s weights: given, by the rule, or by held-out tilts."""
    if not isinstance(settings.reg_par, str):
        return float(settings.reg_par) / problem.w_scale
    rule = RULE * total_weight(problem) * typical_contrast(problem)
    return rule if settings.reg_par == "auto" else search_strength(problem, settings, solver, rule)


def search_cost_in_pairs(reg_par: float | str) -> float:
    """What ``resolve_strength`` costs at most, in iterations of the solver."""
    # of each strength, the start and the tilts held out make one more
    search = len(FACTORS) * (TRIAL_ITERATIONS + 1) * (1 - 1 / HELD_OUT)
    return {"auto": 4.0, "held-out": 4.0 + search}.get(str(reg_par), 0.0)


def typical_contrast(problem: Problem) -> float:
    """Height of what stands out in the volume: the 99th percentile of ``|x - median|`` after 5 CGLS iterations."""
    start = replace(problem, x=torch.zeros_like(problem.x))
    x = solve_least_squares(start, 5, Monitor(problem, IterativeSettings(num_iter=5), None))
    # quantiles of a regular sample: torch.quantile takes 16 million values at most, and this needs no more
    x = problem.crop(x)
    inside = x if problem.mask is None else x[problem.crop(problem.mask).expand_as(x) > 0]
    values = inside.reshape(-1)[:: max(1, inside.numel() // 1_000_000)]
    height = (values - values.median()).abs()
    # something may stand out in less than a hundredth of the volume
    return float(torch.quantile(height, 0.99)) or float(height.amax())


def hold_out_tilts(problem: Problem, advice: str) -> HeldOutSplit:
    """Every fifth tilt apart, in the order of angle.

    Raises
    ------
    InputError
        With fewer than five tilts that have a weight; ends in ``advice``.
    """
    trust = np.ones(problem.A.geometry.n_angles)
    if problem.w is not None:
        trust = problem.w.mean((1, 2)).double().cpu().numpy()
    order = np.argsort(problem.A.geometry.angles, kind="stable")
    order = order[trust[order] > 0]  # a tilt without weight predicts nothing and is predicted by anything
    if len(order) < HELD_OUT:
        raise InputError(f"{len(order)} tilts are too few to hold some out; {advice}")
    return HeldOutSplit(*split_held_out(order), trust)


def split_held_out(order: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Tilts in the order of angle in two: those to keep, and every fifth apart."""
    out = order[HELD_OUT // 2 : -1 : HELD_OUT]
    return np.setdiff1d(order, out), out


def search_strength(problem: Problem, settings: Any, solver: Solver, rule: float) -> float:
    """The strength whose volume, made without every fifth tilt, predicts those tilts best.

    One run of the solver goes from strong to weak: simple volumes converge in a few iterations, and each is close to the next.

    Raises
    ------
    InputError
        With fewer than five tilts.
    """
    tilts = hold_out_tilts(problem, "give reg_par a number")
    train, test = select_tilts(problem, tilts.keep), select_tilts(problem, tilts.out)
    trial = settings.model_copy(update={"num_iter": TRIAL_ITERATIONS, "residual_tolerance": None})
    x, duals = torch.zeros_like(problem.x), DualVariables(torch.zeros_like(train.p), gradient.zeros(problem.x))
    errors: list[float] = []
    for factor in FACTORS:
        duals.balance = max(1.0, factor / STRONG)
        x = solver(replace(train, x=x), trial, factor * rule * tilts.share, Monitor(train, trial, None), duals)
        errors.append(test.norm(test.A(x).sub_(test.p)))
        if len(errors) > RISES and all(b > a for a, b in pairwise(errors[-RISES - 1 :])):
            break
    return rule * FACTORS[0] / math.pow(2.0, parabola_minimum(errors))


def parabola_minimum(values: Sequence[float]) -> float:
    """Where a curve through equidistant points is lowest, as an index: at the vertex of the parabola about the least."""
    i = int(np.argmin(values))
    if not 0 < i < len(values) - 1:
        return float(i)
    left, right = values[i - 1] - values[i], values[i + 1] - values[i]
    return i + 0.5 * (left - right) / (left + right) if left + right else float(i)


def total_weight(problem: Problem) -> float:
    """The number of tilts times their mean weight."""
    return float(problem.A.geometry.n_angles * (1.0 if problem.w is None else problem.w.mean()))
