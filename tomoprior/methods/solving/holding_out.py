"""Hold out tilts, so that a fit to the others has to predict them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.errors import InputError
from tomoprior.methods.solving.problem import TINY, Problem

#: One tilt in this number is held out. The first and the last never are: to predict those would be extrapolation.
HELD_OUT = 5
#: Smallest shift in voxels between top and bottom of the grid from the first tilt to the last. Below it all tilts show the
#: same image, and the prediction of one of them does not judge the volume.
PARALLAX = 2.0
#: Neighbouring tilts that ``hold_out_blocks`` holds out together. Tilts share the errors of their neighbours (drift, uneven
#: brightness): a tilt between two others is predicted better and better from their errors, while the volume gets worse.
BLOCK = 4
#: Squared error of the best prediction, as a share of the held-out data, below which the tilts agree: there the least error
#: decides alone, because each detail that is fitted is real.
AGREEMENT = 0.002


@dataclass(frozen=True)
class HeldOutSplit:
    """The tilts to fit, and those that the fit has to predict.

    Attributes
    ----------
    keep, out
        Indices of the tilts to fit and of those to hold out. Tilts without weight are in neither.
    tilt_weights
        Mean weight of every tilt, ``(n_angles,)``.
    """

    keep: NDArray[np.intp]
    out: NDArray[np.intp]
    tilt_weights: NDArray[np.float64]

    @property
    def share(self) -> float:
        """Share of the tilts' weight that is in ``keep``.

        Multiply a strength for all tilts by this share to get the equivalent for ``keep``.
        """
        return float(self.tilt_weights[self.keep].sum() / self.tilt_weights.sum())


def reason_against(problem: Problem) -> str | None:
    """Return the reason why these tilts cannot choose a setting by the prediction of held-out ones, or None if they can."""
    order, _ = _order_tilts(problem)
    if len(order) < HELD_OUT:
        return f"{len(order)} tilt{'s are' if len(order) > 1 else ' is'} too few to hold some out"
    angles = problem.A.geometry.angles[order]
    parallax = problem.A.geometry.shape[0] * 2 * np.sin(min(np.pi / 2, (angles[-1] - angles[0]) / 2))
    if parallax < PARALLAX:
        return f"a range of {np.rad2deg(angles[-1] - angles[0]):.3g} degrees is too narrow: all tilts show the same image"
    return None


def hold_out_tilts(problem: Problem, advice: str = "give num_iter or reg_par a number") -> HeldOutSplit:
    """Return the tilts to fit, and every fifth in the order of angle, which is held out.

    Raises
    ------
    InputError
        With fewer than five tilts that have a weight; the message ends in ``advice``.
    """
    order, tilt_weights = _order_tilts(problem)
    if len(order) < HELD_OUT:
        raise InputError(f"{len(order)} tilts are too few to hold some out; {advice}")
    return HeldOutSplit(*split_held_out(order), tilt_weights)


def hold_out_blocks(problem: Problem) -> HeldOutSplit:
    """Return the tilts to fit, and four neighbours of every twenty, which are held out; every fifth of fewer than twenty.

    Raises
    ------
    InputError
        With fewer than five tilts that have a weight.
    """
    order, tilt_weights = _order_tilts(problem)
    period = BLOCK * HELD_OUT
    if len(order) < period:
        return hold_out_tilts(problem)
    place = np.arange(len(order)) % period - BLOCK * (HELD_OUT // 2)
    out = order[:-1][(place[:-1] >= 0) & (place[:-1] < BLOCK)]
    return HeldOutSplit(np.setdiff1d(order, out), out, tilt_weights)


def split_held_out(order: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split tilts in the order of angle: return those to keep, and every fifth, to hold out."""
    out = order[HELD_OUT // 2 : -1 : HELD_OUT]
    return np.setdiff1d(order, out), out


def prediction_squares(test: Problem, projections: torch.Tensor) -> NDArray[np.float64]:
    """Return the weighted squared error of each tilt of ``test``, for predicted ``projections``."""
    r = projections - test.data
    squares = (r * r).double() if test.weights is None else (r * r * test.weights).double()
    return np.asarray(squares.sum((1, 2)).cpu().numpy())


def fitted_squares(test: Problem, projections: torch.Tensor) -> NDArray[np.float64]:
    """Return the weighted squared error of each tilt of ``test`` after the fit of a scale, not negative, and an offset."""
    p, q = test.data.double(), projections.double()
    w = torch.ones_like(p) if test.weights is None else test.weights.double().expand_as(p)
    total = w.sum((1, 2), keepdim=True).clamp_min(TINY)
    p, q = (v - (w * v).sum((1, 2), keepdim=True) / total for v in (p, q))
    scale = ((w * p * q).sum((1, 2), keepdim=True) / (w * q * q).sum((1, 2), keepdim=True).clamp_min(TINY)).clamp_min(0)
    return np.asarray((w * (p - scale * q) ** 2).sum((1, 2)).cpu().numpy())


def is_clearly_worse(worse: NDArray[np.float64], best: NDArray[np.float64]) -> bool:
    """Return True if the mean of the paired differences exceeds its own standard error.

    This is the rule of Breiman et al., Classification and Regression Trees (1984), section 3.4.3, on paired differences, in
    which the tilts' own noise cancels.

    Parameters
    ----------
    worse, best
        Squared errors, one per held-out tilt.
    """
    difference = worse - best
    if len(difference) < 2:
        return bool(difference.sum() > 0)
    return bool(difference.mean() > difference.std(ddof=1) / np.sqrt(len(difference)))


def choose_simplest(errors: Sequence[NDArray[np.float64]], data: float) -> int:
    """Return the index of the simplest volume that predicts held-out tilts not clearly worse than the best one does.

    Where the best one leaves almost nothing unpredicted, it is returned itself.

    Parameters
    ----------
    errors
        Squared errors of each volume, one per held-out tilt, from the simplest volume to the most detailed one.
    data
        Weighted square of the held-out data.
    """
    best = int(np.argmin([e.sum() for e in errors]))
    if errors[best].sum() <= AGREEMENT * data:
        return best
    return next(i for i, e in enumerate(errors) if not is_clearly_worse(e, errors[best]))


def _order_tilts(problem: Problem) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the tilts that have a weight in the order of angle, and the mean weight of every tilt."""
    tilt_weights = np.ones(problem.A.geometry.n_angles)
    if problem.weights is not None:
        tilt_weights = problem.weights.mean((1, 2)).double().cpu().numpy()
    order = np.argsort(problem.A.geometry.angles, kind="stable")
    return order[tilt_weights[order] > 0], tilt_weights  # a tilt without weight gives no evidence
