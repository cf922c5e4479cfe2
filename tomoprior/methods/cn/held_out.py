"""What the data leave open - strength, smoothness, background - chosen by the tilts that a fit without them predicts best.

A held-out tilt was measured but not used, so predicting it is evidence, with no truth needed. Every fifth tilt in the order of
angle is held out, never the first or the last: beyond them would be extrapolation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.errors import InputError
from tomoprior.methods.classical.problem import Problem, views_of

#: One tilt in this many.
EVERY = 5
#: A step between strengths tried, and between those beside the best.
FACTOR, FINE = 4.0, 2.0
#: The error has clearly risen when it is this much above the best, and has stopped falling when it gains less than this.
CLEARLY, HARDLY = 1.002, 0.995
#: Strengths tried at most in one direction.
MOST = 8


@dataclass
class Split:
    """A problem in two: what is fitted, and what it has to predict.

    Attributes
    ----------
    train, test
        The two problems; they share the volume.
    keep
        Indices of the tilts in ``train``.
    share
        Part of the tilts' weight in ``train``: a strength against it is that against all times this.
    """

    train: Problem
    test: Problem
    keep: NDArray[np.intp]
    share: float

    @classmethod
    def of(cls, problem: Problem) -> Split:
        """Every fifth tilt apart; raises InputError where there are fewer than five."""
        trust = np.ones(problem.A.geometry.n_angles)
        if problem.w is not None:
            trust = problem.w.mean((1, 2)).double().cpu().numpy()
        order = np.argsort(problem.A.geometry.angles, kind="stable")
        order = order[trust[order] > 0]  # a tilt without weight predicts nothing and is predicted by anything
        if len(order) < EVERY:
            raise InputError(f"{len(order)} tilts are too few to hold some out; give numbers in place of held-out")
        out = order[EVERY // 2 : -1 : EVERY]
        keep = np.setdiff1d(order, out)
        return cls(views_of(problem, keep), views_of(problem, out), keep, float(trust[keep].sum() / trust.sum()))

    def error(self, projections: torch.Tensor) -> float:
        """Relative error of predicted ``projections`` of the tilts held out."""
        return self.test.norm(projections - self.test.p) / max(self.test.norm(self.test.p), torch.finfo(torch.float32).tiny)

    def without(self, volume: torch.Tensor) -> Split:
        """The same with a volume's projections taken off the data."""
        return replace(
            self,
            train=replace(self.train, p=self.train.p - self.train.A(volume)),
            test=replace(self.test, p=self.test.p - self.test.A(volume)),
        )


def search(trial: Callable[[float], float], first: float, least: float) -> float:
    """The positive number with the smallest ``trial`` error, looked for downwards from ``first``, then upwards if need be.

    ``trial`` is called with ever smaller numbers, by factors of ``FACTOR`` and not below ``least``, so that it can go on from
    where it was; then above ``first`` if that was best; at last half and twice the best.
    """
    errors: dict[float, float] = {first: trial(first)}

    def walk(factor: float) -> None:
        value, best, worse = first, errors[first], 0
        for _ in range(MOST):
            value *= factor
            if value < least:
                return
            errors[value] = trial(value)
            if errors[value] > best * CLEARLY:
                return
            worse = 0 if errors[value] < best * HARDLY else worse + 1
            best = min(best, errors[value])
            if worse == 2:
                return

    walk(1 / FACTOR)
    if min(errors, key=errors.__getitem__) == first:
        walk(FACTOR)
    best = min(errors, key=errors.__getitem__)
    for value in (best * FINE, best / FINE):
        errors[value] = trial(value)
    return min(errors, key=errors.__getitem__)
