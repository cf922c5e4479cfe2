"""Angular weights: the part of the half-circle that each tilt represents when a sum over tilts replaces an integral."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.errors import InputError
from tomoprior.geometry import Geometry

#: A gap this many times the typical step is a missing range, not a coarse step: no tilt represents it.
MISSING_RANGE = 4.0
#: In a full turn, a gap up to this (radians) is no missing range even beside much finer steps, as random angles have.
SMALL_GAP = 0.2
#: Directions closer than this (radians) count as one.
SAME_DIRECTION = 1e-9


def compute_angular_weights(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the radians that each tilt represents, shape ``(n_angles,)``.

    A tilt represents half the gap to its neighbour on either side, around the half-circle (a projection at theta + pi is the
    mirror image of that at theta), as in a trapezoidal rule. Next to a missing range a tilt counts its gap on the other side
    twice. The weights of a full, even range add up to pi; tilts at the same angle share one weight.
    """
    turned = np.mod(angles, math.pi)
    # a half-turn, within rounding, is the same direction as 0
    turned[turned > math.pi - SAME_DIRECTION] = 0.0
    order = np.argsort(turned, kind="stable")
    first = np.diff(turned[order], prepend=-1.0) > SAME_DIRECTION  # the first tilt of every direction
    direction = np.cumsum(first) - 1
    share = _weigh_directions(turned[order][first]) / np.bincount(direction)
    out = np.empty(len(angles))
    out[order] = share[direction]
    return out


def covers_full_turn(angles: NDArray[np.float64]) -> bool:
    """Return whether the tilts go around the whole circle, without a missing range."""
    turned = np.unique(np.mod(angles, 2 * math.pi))
    if len(turned) < 3:
        return False
    gaps = np.diff(turned, append=turned[0] + 2 * math.pi)
    return bool(gaps.max() <= min(max(MISSING_RANGE * _typical_step(gaps), SMALL_GAP), math.pi / 2))


def _weigh_directions(turned: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights of directions that rise from 0 to pi and all differ."""
    if len(turned) == 1:
        return np.array([math.pi])
    gaps = np.diff(turned, append=turned[0] + math.pi)
    missing = gaps > MISSING_RANGE * _typical_step(gaps)
    right, left = gaps, np.roll(gaps, 1)
    no_right, no_left = missing, np.roll(missing, 1)
    # next to a missing range: the gap on the other side; between two missing ranges: a typical step
    typical = float(np.median(gaps[~missing]))
    beside_right = np.where(no_right, np.where(no_left, typical, left), right)
    beside_left = np.where(no_left, np.where(no_right, typical, right), left)
    return np.asarray((beside_right + beside_left) / 2)


def _typical_step(gaps: NDArray[np.float64]) -> float:
    """Return the step that covers half of the range, without the largest gap, so that a few close tilts do not count."""
    rest = np.sort(gaps)[:-1]
    covered = np.cumsum(rest)
    return float(rest[np.searchsorted(covered, covered[-1] / 2)])


def compute_tilt_weights(name: str, geometry: Geometry, user_weights: torch.Tensor | None) -> NDArray[np.float64]:
    """Multiply angular weights by the user's weights per tilt and keep the total; raises InputError for weights per pixel."""
    share = compute_angular_weights(geometry.angles)
    if user_weights is None:
        return share
    if user_weights.shape[1:] != (1, 1):
        raise InputError(f"{name} takes one weight per tilt, not per pixel; an iterative method takes both")
    tilt_weights = user_weights.reshape(-1).double().cpu().numpy()
    return np.asarray(share * tilt_weights * (share.sum() / (share * tilt_weights).sum()))
