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

from tomoprior.methods.solving.problem import Problem, select_tilts
from tomoprior.methods.solving.strength import hold_out_tilts

#: A step between strengths tried, and between those beside the best.
FACTOR, FINE = 4.0, 2.0
#: The error has clearly risen when it is this much above the best, and has stopped falling when it gains less than this.
CLEAR_RISE, SMALL_GAIN = 1.002, 0.995
#: Strengths tried at most in one direction.
MAX_STEPS = 8


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
        tilts = hold_out_tilts(problem, "give numbers in place of held-out")
        return cls(select_tilts(problem, tilts.keep), select_tilts(problem, tilts.out), tilts.keep, tilts.share)

    def errors(self, projections: torch.Tensor) -> NDArray[np.float64]:
        """Squared errors of predicted ``projections``, one per tilt held out, in parts of all their weighted squares."""
        r, test = projections - self.test.data, self.test
        total = test.scale**2
        squares = (r * r).double() if test.weights is None else (r * r * test.weights).double()
        return np.asarray(squares.sum((1, 2)).cpu().numpy()) / total

    def without(self, volume: torch.Tensor) -> Split:
        """The same with a volume's projections taken off the data."""
        return replace(
            self,
            train=replace(self.train, data=self.train.data - self.train.A(volume)),
            test=replace(self.test, data=self.test.data - self.test.A(volume)),
        )


def split_weights(problem: Problem) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights of the tilts that are fitted and of those held out, each of all tilts: for a fit that keeps them together.

    Returns
    -------
    Two tensors that broadcast over the projections and add up to the problem's weights; raises InputError where fewer than
    five tilts have a weight.
    """
    tilts = hold_out_tilts(problem, "use stop=none")
    out = torch.zeros(problem.A.geometry.n_angles, 1, 1, device=problem.data.device)
    out[torch.from_numpy(tilts.out)] = 1.0
    return (1 - out, out) if problem.weights is None else (problem.weights * (1 - out), problem.weights * out)


def search_number(trial: Callable[[float], NDArray[np.float64]], first: float, least: float) -> tuple[float, float]:
    """The positive number to choose, and its relative error.

    The trials go downwards from ``first`` by factors of ``FACTOR``, not below ``least``; upwards if ``first`` was best; at last
    to half and twice the best. Chosen is the largest number that the tilts held out cannot tell from the best: the mean
    difference of their squared errors is within one standard error (the rule of Breiman et al., Classification and Regression
    Trees, 1984, section 3.4.3, on paired differences, from which the tilts' own noise falls out).

    Parameters
    ----------
    trial
        Squared errors, one per tilt held out. Called with ever smaller numbers first, so that it can go on from where it was.
    """
    found: dict[float, NDArray[np.float64]] = {first: trial(first)}

    def error(value: float) -> float:
        return float(np.sqrt(found[value].sum()))

    def walk(factor: float) -> None:
        value, best, idle = first, error(first), 0
        for _ in range(MAX_STEPS):
            value *= factor
            if value < least:
                return
            found[value] = trial(value)
            if error(value) > best * CLEAR_RISE:
                return
            idle = 0 if error(value) < best * SMALL_GAIN else idle + 1
            best = min(best, error(value))
            if idle == 2:
                return

    walk(1 / FACTOR)
    if min(found, key=error) == first:
        walk(FACTOR)
    best = min(found, key=error)
    for value in (best * FINE, best / FINE):
        found[value] = trial(value)
    best = min(found, key=error)
    chosen = max(value for value in found if value >= best and not is_clearly_worse(found[value], found[best]))
    return chosen, error(chosen)


def is_clearly_worse(worse: NDArray[np.float64], best: NDArray[np.float64]) -> bool:
    """Whether the mean of the paired differences is more than its own standard error."""
    difference = worse - best
    if len(difference) < 2:
        return bool(difference.sum() > 0)
    return bool(difference.mean() > difference.std(ddof=1) / np.sqrt(len(difference)))
