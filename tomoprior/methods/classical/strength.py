"""How strong a penalty should be when the user leaves it open: by a rule, or by the tilts that it predicts best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from tomoprior.errors import InputError
from tomoprior.methods.classical.cgls import CGLS, CGLSSettings
from tomoprior.methods.classical.iterative import Monitor
from tomoprior.methods.classical.problem import Problem, views_of

#: The rule: strength = RULE * (sum of the tilts' weights) * (height of typical contrast). A feature r voxels wide loses about
#: strength / (n_angles * r) of its height, so this costs a feature three voxels wide less than 1 %.
RULE = 0.005
#: One tilt in this many is held out, never the first or the last: beyond them would be extrapolation.
HELD_OUT = 5
#: Strengths tried, in units of the rule's, and the iterations for each (warm-started from the stronger one before).
FACTORS = (16.0, 8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.125)
TRIAL_ITERATIONS = 60

Solver = Callable[[Problem, Any, float, Monitor], torch.Tensor]


def resolve(problem: Problem, settings: Any, solver: Solver) -> float:
    """``settings.reg_par`` as a number against ``problem``'s weights: given, by the rule, or by held-out tilts."""
    if not isinstance(settings.reg_par, str):
        return float(settings.reg_par) / problem.w_scale
    rule = RULE * _total_weight(problem) * contrast(problem)
    return rule if settings.reg_par == "auto" else held_out(problem, settings, solver, rule)


def pairs(reg_par: float | str) -> float:
    """What ``resolve`` costs, in iterations of the solver."""
    return {"auto": 4.0, "held-out": 4.0 + len(FACTORS) * TRIAL_ITERATIONS * (1 - 1 / HELD_OUT)}.get(str(reg_par), 0.0)


def contrast(problem: Problem) -> float:
    """Height of what stands out in the volume: the 99th percentile of ``|x - median|`` after 5 CGLS iterations."""
    settings = CGLSSettings(num_iter=5)
    x = CGLS().solve(replace(problem, x=torch.zeros_like(problem.x)), settings, Monitor(problem, settings, None))
    # quantiles of a regular sample: torch.quantile takes 16 million values at most, and this needs no more
    x = problem.crop(x)
    inside = x if problem.mask is None else x[problem.crop(problem.mask).expand_as(x) > 0]
    values = inside.reshape(-1)[:: max(1, inside.numel() // 1_000_000)]
    height = (values - values.median()).abs()
    # something may stand out in less than a hundredth of the volume
    return float(torch.quantile(height, 0.99)) or float(height.amax())


def held_out(problem: Problem, settings: Any, solver: Solver, rule: float) -> float:
    """The strength whose volume, made without every fifth tilt, predicts those tilts best.

    Raises
    ------
    InputError
        With fewer than five tilts.
    """
    trust = np.ones(problem.A.geometry.n_angles)
    if problem.w is not None:
        trust = problem.w.mean((1, 2)).double().cpu().numpy()
    order = np.argsort(problem.A.geometry.angles, kind="stable")
    order = order[trust[order] > 0]  # a tilt without weight predicts nothing and is predicted by anything
    out = order[HELD_OUT // 2 : -1 : HELD_OUT]
    if len(order) < HELD_OUT:
        raise InputError(f"{len(order)} tilts are too few to hold some out; give reg_par a number")
    keep = np.setdiff1d(order, out)
    train, test = views_of(problem, keep), views_of(problem, out)
    trial = settings.model_copy(update={"num_iter": TRIAL_ITERATIONS, "residual_tolerance": None})
    x, best, share = torch.zeros_like(problem.x), (float("inf"), rule), trust[keep].sum() / trust.sum()
    for factor in FACTORS:
        x = solver(replace(train, x=x), trial, factor * rule * share, Monitor(train, trial, None))
        error = test.norm(test.A(x) - test.p)
        if error < best[0]:
            best = (error, factor * rule)
    return best[1]


def _total_weight(problem: Problem) -> float:
    return float(problem.A.geometry.n_angles * (1.0 if problem.w is None else problem.w.mean()))
