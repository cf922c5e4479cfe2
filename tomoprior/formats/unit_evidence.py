"""Evidence of the unit of tilt angles, degrees or radians, in their values."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

#: Radians: no scan of one turn has a larger angle, and none of a half turn.
FULL_TURN, HALF_TURN = 6.4, 3.2

_FEW = 10  # a list of more angles than this has steps that can be judged
_RADIAN_STEP = 0.2  # a step of 0.2 degrees or of 11 degrees: a list with smaller steps is read as radians
_JUDGED = 5  # fewer angles do not show that a stated unit is wrong
_NEAR = 0.003  # share by which a range may differ from a half or a full turn that it is meant to be
_TURN_ERROR = 2e-4  # radians: error of a range of half turns whose ends have four decimals
_ROUND = 0.5  # degrees: nominal tilts are multiples of this
_DECIMALS = (3, 7)  # of angles that were rounded: with fewer, any number is near a multiple of half a degree
_BEYOND_SIDE = 1.65  # radians, 94.5 degrees: no tilt goes farther on both sides unless the scan turns around
_TINY = 0.5  # degrees: no tilt series covers less


def looks_like_radians(values: NDArray[np.float64]) -> bool:
    """Return whether numbers that should be degrees look like radians.

    They cover half turns exactly, or become round numbers of degrees when they are converted, or there are many within one
    half turn at small steps. Eight degrees at steps of two degrees are real data; 60 degrees on either side are 41 radians at
    steps of 0.05.
    """
    if np.ptp(values) == 0:
        return False
    if not are_multiples(values, 1e-3) and _covers_half_turns(values):
        return True
    largest = float(np.abs(values).max())
    if largest >= FULL_TURN:
        return False
    if len(values) >= 3 and becomes_round(values):
        return True
    if len(values) <= _FEW or np.median(np.abs(np.diff(np.sort(values)))) >= _RADIAN_STEP:
        return False
    return largest < HALF_TURN or not are_multiples(values, 1e-3)


def looks_like_degrees(values: NDArray[np.float64]) -> bool:
    """Return whether numbers that should be radians look like degrees.

    They exceed two turns, or cover more than one turn at large steps, or are multiples of one half, which degrees often are and
    radians never are, or go beyond a right angle on both sides.
    """
    largest = float(np.abs(values).max())
    if largest > 4 * math.pi:
        return True
    if len(values) < _JUDGED or np.ptp(values) == 0:
        return False
    wide = np.ptp(values) > FULL_TURN and np.median(np.diff(np.sort(values))) > _RADIAN_STEP
    return bool(wide or (largest >= 2 and are_multiples(values, 0.5)) or _goes_beyond_both_sides(values))


def denies_degrees(values: NDArray[np.float64]) -> bool:
    """Return whether values deny a unit of degrees that their file states."""
    span = float(np.ptp(values)) if len(values) >= _JUDGED else 0.0
    if not span or are_multiples(values, 1e-3):
        return False
    turn = any(abs(span - n * math.pi) < _NEAR * n * math.pi for n in (1, 2))
    return turn or span < _TINY or (float(np.abs(values).max()) < FULL_TURN and becomes_round(values))


def denies_radians(values: NDArray[np.float64]) -> bool:
    """Return whether values deny a unit of radians that their file states."""
    span = float(np.ptp(values)) if len(values) >= _JUDGED else 0.0
    if not span:
        return False
    turn = span > 4 * math.pi and min(abs(span - 180) / 180, abs(span - 360) / 360) < _NEAR
    rounded = float(np.abs(values).max()) >= 2 and are_multiples(values, 0.5)
    return turn or rounded or _goes_beyond_both_sides(values)


def becomes_round(values: NDArray[np.float64]) -> bool:
    """Return whether radians are multiples of half a degree, within the error of their last decimal."""
    degrees = np.rad2deg(values)
    if not are_multiples(values, 1e-3) and are_multiples(degrees, _ROUND):
        return True
    decimals = next((k for k in range(_DECIMALS[0], _DECIMALS[1] + 1) if are_multiples(values, 10.0**-k)), None)
    if decimals is None or are_multiples(values, 10.0 ** (1 - _DECIMALS[0])):
        return False
    error = np.abs(values - np.deg2rad(_ROUND * np.round(degrees / _ROUND)))
    return bool(error.max() <= 0.51 * 10.0**-decimals)


def are_multiples(values: NDArray[np.float64], step: float) -> bool:
    """Return whether all values are multiples of ``step``, within a ten thousandth of it."""
    quotient = values / step
    return bool(np.all(np.abs(quotient - np.round(quotient)) < 1e-4))


def _covers_half_turns(values: NDArray[np.float64]) -> bool:
    """Return whether the angles, or the angles and one more step, cover a whole number of half turns in radians."""
    n, span = len(values), float(np.ptp(values))
    if n < _JUDGED:
        return False
    steps = np.diff(np.sort(values))
    ranges = [span] if np.ptp(steps) > 4 * _TURN_ERROR else [span, span * n / (n - 1)]
    return any(round(r / math.pi) > 0 and abs(r - math.pi * round(r / math.pi)) < _TURN_ERROR for r in ranges)


def _goes_beyond_both_sides(values: NDArray[np.float64]) -> bool:
    if not (values.min() < -_BEYOND_SIDE and values.max() > _BEYOND_SIDE):
        return False
    span = float(np.ptp(values))
    ranges = (span, span * len(values) / (len(values) - 1))
    return all(abs(r - math.pi * round(r / math.pi)) > 0.01 * r for r in ranges)
