"""Choose the weight of differences along z by the prediction of held-out tilts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from tomoprior.methods.solving.holding_out import hold_out_tilts
from tomoprior.methods.solving.iterative import Monitor
from tomoprior.methods.solving.problem import Problem, select_tilts
from tomoprior.methods.solving.strength import Solver, resolve_strength

#: Weights to try.
Z_WEIGHTS = (1.0, 0.5, 0.35, 0.25)
#: Iterations for each weight. Weights differ in the part of the volume that the tilts measure worst, which converges last.
TRIAL_ITERATIONS = 100
#: Cost of the trials in iterations of the solver.
COST = len(Z_WEIGHTS) * TRIAL_ITERATIONS


def choose_z_weight(problem: Problem, settings: Any, solver: Solver) -> Any:
    """Return the settings with the weight that predicts every fifth tilt best, from a volume of the other tilts.

    Each weight is tried at the strength that ``settings.reg_par`` gives for it.

    Raises
    ------
    InputError
        With fewer than five tilts.
    """
    tilts = hold_out_tilts(problem, "give z_weight a number")
    train, test = select_tilts(problem, tilts.keep), select_tilts(problem, tilts.out)
    errors = []
    candidates = [settings.model_copy(update={"z_weight": weight}) for weight in Z_WEIGHTS]
    for candidate in candidates:
        reg_par, _ = resolve_strength(problem, candidate, solver)
        trial = candidate.model_copy(update={"num_iter": TRIAL_ITERATIONS, "residual_tolerance": None})
        start = replace(train, x=torch.zeros_like(problem.x))
        x = solver(start, trial, reg_par * tilts.share, Monitor(train, trial, None), None)
        errors.append(test.norm(test.A(x).sub_(test.data)))
    return candidates[errors.index(min(errors))]
