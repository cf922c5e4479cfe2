"""Choose strength, smoothness and background by how well a fit predicts tilts that it does not use.

A held-out tilt is measured but not used, so its prediction is evidence without a true volume. Every fifth tilt in the order of
angle is held out, never the first or the last: predicting those would be extrapolation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.methods.solving.holding_out import hold_out_tilts, is_clearly_worse, prediction_squares
from tomoprior.methods.solving.problem import Problem, select_tilts

#: Factor between strengths, and between those next to the best.
FACTOR, FINE = 4.0, 2.0
#: The error has clearly risen when it exceeds the best by the first factor; it no longer falls when it stays above the second
#: factor times the best.
CLEAR_RISE, SMALL_GAIN = 1.002, 0.995
#: Largest number of strengths in one direction.
MAX_STEPS = 8


@dataclass
class Split:
    """A problem in two parts: the tilts to fit, and the tilts to predict.

    Attributes
    ----------
    train, test
        The two problems; they share the volume.
    keep
        Indices of the tilts in ``train``.
    share
        Part of the tilts' weight in ``train``: multiply a strength for all tilts by it to get the equivalent for ``train``.
    """

    train: Problem
    test: Problem
    keep: NDArray[np.intp]
    share: float

    @classmethod
    def from_problem(cls, problem: Problem) -> Split:
        """Hold out every fifth tilt; raises InputError with fewer than five tilts that have a weight."""
        tilts = hold_out_tilts(problem, "give numbers in place of held-out")
        return cls(select_tilts(problem, tilts.keep), select_tilts(problem, tilts.out), tilts.keep, tilts.share)

    def prediction_errors(self, projections: torch.Tensor) -> NDArray[np.float64]:
        """Return the weighted squared error of each held-out tilt, divided by the weighted square of all held-out data."""
        return prediction_squares(self.test, projections) / self.test.scale**2

    def subtract(self, volume: torch.Tensor) -> Split:
        """Return the split with the projections of ``volume`` subtracted from the data."""
        return replace(
            self,
            train=replace(self.train, data=self.train.data - self.train.A(volume)),
            test=replace(self.test, data=self.test.data - self.test.A(volume)),
        )


def split_weights(problem: Problem) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weights of the tilts to fit and of the held-out tilts, each for all tilts, for a fit that projects all tilts.

    Returns
    -------
    Two tensors that broadcast over the projections and add up to the problem's weights.

    Raises
    ------
    InputError
        With fewer than five tilts that have a weight.
    """
    tilts = hold_out_tilts(problem, "use stop=none")
    out = torch.zeros(problem.A.geometry.n_angles, 1, 1, device=problem.data.device)
    out[torch.from_numpy(tilts.out)] = 1.0
    return (1 - out, out) if problem.weights is None else (problem.weights * (1 - out), problem.weights * out)


def search_number(trial: Callable[[float], NDArray[np.float64]], first: float, least: float) -> tuple[float, float]:
    """Search the positive number that predicts held-out tilts best; return it with its relative error.

    The trials go down from ``first`` by factors of ``FACTOR``, not below ``least``; then up if ``first`` is the best; at last
    to half and twice the best. The result is the largest number whose errors do not differ clearly from the best: the mean
    difference of the squared errors is within one standard error (``is_clearly_worse``).

    Parameters
    ----------
    trial
        Returns squared errors, one per held-out tilt. It is first called with ever smaller numbers, so that it can continue
        from the volume before.
    first, least
        The number to start with, and the smallest one to try.
    """
    errors: dict[float, NDArray[np.float64]] = {first: trial(first)}

    def error(value: float) -> float:
        return float(np.sqrt(errors[value].sum()))

    def walk(factor: float) -> None:
        value, best, idle = first, error(first), 0
        for _ in range(MAX_STEPS):
            value *= factor
            if value < least:
                return
            errors[value] = trial(value)
            if error(value) > best * CLEAR_RISE:
                return
            idle = 0 if error(value) < best * SMALL_GAIN else idle + 1
            best = min(best, error(value))
            if idle == 2:
                return

    walk(1 / FACTOR)
    if min(errors, key=error) == first:
        walk(FACTOR)
    best = min(errors, key=error)
    for value in (best * FINE, best / FINE):
        errors[value] = trial(value)
    best = min(errors, key=error)
    largest = max(value for value in errors if value >= best and not is_clearly_worse(errors[value], errors[best]))
    return largest, error(largest)
