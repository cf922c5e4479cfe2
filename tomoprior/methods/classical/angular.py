"""How much of the half-circle each tilt stands for: the weights of a sum over angles that replaces an integral."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.errors import InputError
from tomoprior.geometry import Geometry

#: A gap this many times the usual one is a missing range, not a coarse step: no tilt can stand for it.
MISSING = 4.0
#: Directions closer than this (radians) are one.
SAME = 1e-9


def weights(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Radians that each tilt stands for, shape ``(n_angles,)``.

    Half the gap to the neighbour on either side, around the half-circle (a projection at theta + pi is the mirror image of
    that at theta), as in a trapezoidal rule. Next to a missing range a tilt counts its gap on the other side twice. A full,
    even range adds up to pi; tilts at the same angle share.
    """
    turned = np.mod(angles, math.pi)
    # within rounding of a half-turn is the same direction as 0
    turned[turned > math.pi - SAME] = 0.0
    order = np.argsort(turned, kind="stable")
    first = np.diff(turned[order], prepend=-1.0) > SAME  # the first tilt of every direction
    direction = np.cumsum(first) - 1
    share = _of_directions(turned[order][first]) / np.bincount(direction)
    out = np.empty(len(angles))
    out[order] = share[direction]
    return out


def _of_directions(turned: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same for directions that rise from 0 to pi and all differ."""
    if len(turned) == 1:
        return np.array([math.pi])
    gaps = np.diff(turned, append=turned[0] + math.pi)
    missing = gaps > MISSING * _usual(gaps)
    right, left = gaps, np.roll(gaps, 1)
    no_right, no_left = missing, np.roll(missing, 1)
    # beside a missing range: the other side's gap; between two of them: a typical step
    typical = float(np.median(gaps[~missing]))
    beside_right = np.where(no_right, np.where(no_left, typical, left), right)
    beside_left = np.where(no_left, np.where(no_right, typical, right), left)
    return np.asarray((beside_right + beside_left) / 2)


def _usual(gaps: NDArray[np.float64]) -> float:
    """The step that half of the range is made of, the largest gap left out, so that a few close tilts do not count."""
    rest = np.sort(gaps)[:-1]
    covered = np.cumsum(rest)
    return float(rest[np.searchsorted(covered, covered[-1] / 2)])


def for_method(name: str, geometry: Geometry, given: torch.Tensor | None) -> NDArray[np.float64]:
    """Angular weights times the user's per-tilt weights, scaled so that the total stays; raises for per-pixel weights."""
    share = weights(geometry.angles)
    if given is None:
        return share
    if given.shape[1:] != (1, 1):
        raise InputError(f"{name} takes one weight per tilt, not per pixel; an iterative method takes both")
    trust = given.reshape(-1).double().cpu().numpy()
    return np.asarray(share * trust * (share.sum() / (share * trust).sum()))
