"""Hold out tilts, so that a fit to the others has to predict them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import InputError
from tomoprior.methods.solving.problem import Problem

#: One tilt in this number is held out. The first and the last never are: to predict those would be extrapolation.
HELD_OUT = 5
#: Smallest shift in voxels between top and bottom of the grid from the first tilt to the last. Below it all tilts show the
#: same image, and the prediction of one of them does not judge the volume.
PARALLAX = 2.0


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


def split_held_out(order: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split tilts in the order of angle: return those to keep, and every fifth, to hold out."""
    out = order[HELD_OUT // 2 : -1 : HELD_OUT]
    return np.setdiff1d(order, out), out


def _order_tilts(problem: Problem) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the tilts that have a weight in the order of angle, and the mean weight of every tilt."""
    tilt_weights = np.ones(problem.A.geometry.n_angles)
    if problem.weights is not None:
        tilt_weights = problem.weights.mean((1, 2)).double().cpu().numpy()
    order = np.argsort(problem.A.geometry.angles, kind="stable")
    return order[tilt_weights[order] > 0], tilt_weights  # a tilt without weight gives no evidence
