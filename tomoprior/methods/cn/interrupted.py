"""What an interrupted spline fit still has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class SplineWeights:
    """A fitted field: degree of its splines, background per voxel, and weights on the nodes of the padded grid."""

    degree: int
    level: float
    c: torch.Tensor


class BestSoFar:
    """The weights that predicted the tilts held out best, and those that are being iterated.

    Attributes
    ----------
    best
        Of the searches, or None before the first of their trials has ended.
    running
        Changed in place while they are iterated. Of the searches' only those of the first trial count: later ones may
        be at a strength that nobody wants.
    """

    def __init__(self) -> None:
        self.best: SplineWeights | None = None
        self.running: SplineWeights | None = None
        self._error = float("inf")

    def trial(self, weights: SplineWeights) -> None:
        """A search is about to iterate these."""
        if self.best is None:
            self.running = weights

    def offer(self, weights: SplineWeights, error: float) -> None:
        """Weights that will not change any more, and the sum of weighted squares by which they miss the tilts held out."""
        if error < self._error:
            self.best, self.running, self._error = weights, None, error

    def choose(self, misfit: Callable[[SplineWeights], float]) -> SplineWeights | None:
        """Those of least ``misfit``, or None where there are none yet."""
        have = [weights for weights in (self.best, self.running) if weights is not None]
        return min(have, key=misfit) if len(have) > 1 else have[0] if have else None
