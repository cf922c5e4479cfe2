"""The weights that an interrupted spline fit returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class SplineWeights:
    """A spline field: degree of its splines, background per voxel, and weights on the nodes of the padded grid."""

    degree: int
    level: float
    c: torch.Tensor


class BestSoFar:
    """The weights that predict held-out tilts best, and those that the solver currently iterates.

    Attributes
    ----------
    best
        Best weights of the searches, or None before their first trial ends.
    running
        Weights that the solver changes in place. During a search only the first trial's weights are usable; later trials may
        use an unsuitable strength.
    """

    def __init__(self) -> None:
        self.best: SplineWeights | None = None
        self.running: SplineWeights | None = None
        self._error = float("inf")

    def start_trial(self, weights: SplineWeights) -> None:
        """Note the weights that a search is about to iterate."""
        if self.best is None:
            self.running = weights

    def offer(self, weights: SplineWeights, error: float) -> None:
        """Keep final weights if ``error``, their weighted sum of squares on the held-out tilts, is the smallest so far."""
        if error < self._error:
            self.best, self.running, self._error = weights, None, error

    def choose(self, misfit: Callable[[SplineWeights], float]) -> SplineWeights | None:
        """Return the weights of least ``misfit``, or None if no weights exist yet."""
        candidates = [weights for weights in (self.best, self.running) if weights is not None]
        return min(candidates, key=misfit) if len(candidates) > 1 else candidates[0] if candidates else None
