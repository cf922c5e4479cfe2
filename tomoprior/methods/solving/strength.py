"""Strength of a penalty when the user leaves it open: by a rule of thumb, or by the tilts that it predicts best."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.geometry import Geometry
from tomoprior.methods.solving import gradient
from tomoprior.methods.solving.holding_out import (
    HELD_OUT,
    choose_simplest,
    fitted_squares,
    hold_out_blocks,
    hold_out_tilts,
    reason_against,
)
from tomoprior.methods.solving.iterative import IterativeSettings, Monitor
from tomoprior.methods.solving.least_squares import solve_least_squares
from tomoprior.methods.solving.padding import resolve_padding
from tomoprior.methods.solving.problem import Problem, select_tilts

#: Rule of thumb: strength = RULE_FACTOR * (sum of the tilts' weights) * (height of typical contrast). A feature r voxels wide
#: loses about strength / (n_angles * r) of its height, so this costs a feature three voxels wide less than 1 %.
RULE_FACTOR = 0.005
#: Strengths that the search tries at most, in units of the rule of thumb: from an almost flat volume down to almost no
#: penalty. Projections with as much noise as signal need about a hundred times the rule, noise-free ones an eighth or less.
FACTORS = tuple(2.0**k for k in range(10, -7, -1))
#: Iterations per strength. They suffice because each trial continues from the volume of the stronger one before.
TRIAL_ITERATIONS = 30
#: The search stops when the error has risen this many times in a row.
RISES = 2
#: From this multiple of the rule on, step sizes are balanced for the strength: dual variables grow in proportion to it, and
#: with the usual steps thirty iterations would end before the penalty takes effect.
STRONG = 8.0


@dataclass
class DualVariables:
    """Dual variables carried from one strength to the next (updated in place), so that a path of strengths is one run.

    Attributes
    ----------
    y, q
        Dual variables of the data, ``A.range_shape``, and of the penalty, ``(3, nz, ny, nx)``.
    balance
        Factor of the dual steps, and divisor of the primal steps.
    """

    y: torch.Tensor
    q: torch.Tensor
    balance: float = 1.0


#: Arguments: problem (its x is the starting volume), settings, strength, monitor, and dual variables to continue from or None.
Solver = Callable[[Problem, Any, float, Monitor, DualVariables | None], torch.Tensor]


def resolve_strength(
    problem: Problem,
    settings: Any,
    solver: Solver,
    rule_of_thumb: float | None = None,
    *,
    dual: bool = True,
    blocks: bool = False,
) -> tuple[float, str]:
    """Return ``settings.reg_par`` as a number for ``problem``'s weights, and in words how it was chosen.

    It is the user's number, the rule of thumb, or the choice of held-out tilts. The rule of thumb also takes the place of
    held-out tilts that cannot choose. By default it is that of ``tv``, which grows with the contrast. Without ``dual`` the
    solver has no dual variables. ``blocks`` as in ``search_strength``.
    """
    if not isinstance(settings.reg_par, str):
        return float(settings.reg_par) / problem.weight_scale, "given"
    if rule_of_thumb is None:
        rule_of_thumb = RULE_FACTOR * sum_tilt_weights(problem) * estimate_contrast(problem)
    if settings.reg_par == "auto":
        return rule_of_thumb, "rule of thumb"
    reason = reason_against(problem)
    if reason is not None:
        return rule_of_thumb, f"rule of thumb, because {reason}"
    return search_strength(problem, settings, solver, rule_of_thumb, dual=dual, blocks=blocks), "held-out tilts"


def search_cost_in_pairs(reg_par: float | str) -> float:
    """Return the largest cost of ``resolve_strength``, in iterations of the solver."""
    # each strength costs one more iteration, for its start and for the prediction of the held-out tilts
    search = len(FACTORS) * (TRIAL_ITERATIONS + 1) * (1 - 1 / HELD_OUT)
    return {"auto": 4.0, "held-out": 4.0 + search}.get(str(reg_par), 0.0)


def search_bytes(geometry: Geometry, settings: Any) -> int:
    """Return the bytes that the search by held-out tilts adds: a volume and a copy of the projections."""
    if settings.reg_par != "held-out":
        return 0
    nz, ny, nx = geometry.shape
    return 4 * (nz * ny * (nx + 2 * resolve_padding(geometry, settings.pad)) + math.prod(geometry.range_shape))


def estimate_contrast(problem: Problem) -> float:
    """Return the height of typical contrast: the 99th percentile of ``|x - median|`` of a volume after 5 CGLS iterations."""
    start = replace(problem, x=torch.zeros_like(problem.x))
    x = solve_least_squares(start, 5, Monitor(problem, IterativeSettings(num_iter=5), None))
    # quantiles of a regular sample: torch.quantile takes at most 16 million values, and a sample is accurate enough
    x = problem.crop(x)
    inside = x if problem.mask is None else x[problem.crop(problem.mask).expand_as(x) > 0]
    values = inside.reshape(-1)[:: max(1, inside.numel() // 1_000_000)]
    height = (values - values.median()).abs()
    # contrast may exist in less than a hundredth of the volume
    return float(torch.quantile(height, 0.99)) or float(height.amax())


def search_strength(
    problem: Problem, settings: Any, solver: Solver, rule_of_thumb: float, *, dual: bool = True, blocks: bool = False
) -> float:
    """Return the strength that predicts every fifth tilt best from the other tilts.

    With ``blocks``, neighbouring tilts are held out together, their brightness and background do not count, and the result is
    the largest strength that predicts them not clearly worse than the best one does.

    One run of the solver goes from strong to weak: simple volumes converge in a few iterations, and each is close to the next.

    Raises
    ------
    InputError
        With fewer than five tilts that have a weight.
    """
    tilts = hold_out_blocks(problem) if blocks else hold_out_tilts(problem)
    train, test = select_tilts(problem, tilts.keep), select_tilts(problem, tilts.out)
    trial = settings.model_copy(update={"num_iter": TRIAL_ITERATIONS, "residual_tolerance": None})
    x = torch.zeros_like(problem.x)
    duals = DualVariables(torch.zeros_like(train.data), gradient.zero_gradient(problem.x)) if dual else None
    squares: list[NDArray[np.float64]] = []
    errors: list[float] = []
    for factor in FACTORS:
        if duals is not None:
            duals.balance = max(1.0, factor / STRONG)
        x = solver(replace(train, x=x), trial, factor * rule_of_thumb * tilts.share, Monitor(train, trial, None), duals)
        prediction = test.A(x)
        if blocks:
            squares.append(fitted_squares(test, prediction))
        errors.append(math.sqrt(squares[-1].sum()) if blocks else test.norm(prediction.sub_(test.data)))
        if len(errors) > RISES and all(b > a for a, b in pairwise(errors[-RISES - 1 :])):
            break
    simplest = choose_simplest(squares, test.scale**2) if blocks else int(np.argmin(errors))
    step = parabola_minimum(errors) if simplest == np.argmin(errors) else simplest
    return rule_of_thumb * FACTORS[0] / math.pow(2.0, step)


def parabola_minimum(values: Sequence[float]) -> float:
    """Return the index at which a curve through equidistant points is lowest: the vertex of the parabola around the least."""
    i = int(np.argmin(values))
    if not 0 < i < len(values) - 1:
        return float(i)
    left, right = values[i - 1] - values[i], values[i + 1] - values[i]
    return i + 0.5 * (left - right) / (left + right) if left + right else float(i)


def sum_tilt_weights(problem: Problem) -> float:
    """Return the number of tilts times their mean weight."""
    return float(problem.A.geometry.n_angles * (1.0 if problem.weights is None else problem.weights.mean()))
