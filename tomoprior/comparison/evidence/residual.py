"""How far the tilts are from the projections of the volume: which tilts do not fit with the others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.comparison.evidence.calibration import calibrate, projected
from tomoprior.projector import Projector
from tomoprior.series import TiltSeries

#: A tilt sticks out by this many robust standard deviations from its neighbours, and by this share of their residual.
SIGMAS, SHARE = 6.0, 0.4
#: Tilts on either side, in the order of angle, that are its neighbours: steep tilts have larger residuals than flat ones.
NEIGHBOURS = 3
#: A bad tilt drags so many along on either side; they are as bad themselves from this share of its excess on.
DRAGGED, ALIKE = 2, 0.6


def residual(volume: NDArray[np.float32], series: TiltSeries, projector: Projector) -> dict[str, Any]:
    """Relative residual of every tilt, ``||p_t - A_t x|| / ||p_t||``, after ``calibrate``; and the tilts that stick out."""
    forward, ones = projected(volume, projector)
    a, b = calibrate(forward, ones, series.projections, series.weights)
    difference = (series.projections - a * forward - b * ones).reshape(len(forward), -1)
    squares = np.einsum("ij,ij->i", difference, difference, dtype=np.float64)
    given = series.projections.reshape(len(forward), -1)
    norms = np.einsum("ij,ij->i", given, given, dtype=np.float64)
    relative = np.sqrt(squares / np.maximum(norms, 1e-300))
    return {
        "angles": np.rad2deg(series.geometry.angles).tolist(),
        "residuals": relative.tolist(),
        "outliers": sticking_out(relative, series.geometry.angles),
        "total": float(np.sqrt(squares.sum() / norms.sum())),
        "calibration": [a, b],
    }


def sticking_out(values: NDArray[np.float64], angles: NDArray[np.float64]) -> list[int]:
    """Indices of values far above those of the neighbouring angles; empty with fewer than eight.

    The neighbours of a bad tilt are dragged along: beside one that is named, only as bad ones are named too.
    """
    if len(values) < 2 * NEIGHBOURS + 2:
        return []
    order = np.argsort(angles, kind="stable")
    v = values[order]
    around = np.array([_around(v, i) for i in range(len(v))])
    excess = v - around
    spread = 1.4826 * np.median(np.abs(excess - np.median(excess)))
    high = (excess > SIGMAS * spread) & (excess > SHARE * around)
    named: list[int] = []
    for i in sorted(np.flatnonzero(high), key=lambda i: -excess[i]):
        beside = [excess[j] for j in named if abs(j - i) <= DRAGGED]
        if not beside or excess[i] > ALIKE * max(beside):
            named.append(int(i))
    return sorted(int(order[i]) for i in named)


def _around(v: NDArray[np.float64], i: int) -> float:
    """What the neighbours let expect: their median; at the ends, where residuals rise, at least what the next two lead to."""
    near = [v[j] for j in range(max(0, i - NEIGHBOURS), min(len(v), i + NEIGHBOURS + 1)) if j != i]
    expected = float(np.median(near))
    if i in (0, len(v) - 1):
        next_one, next_but_one = (v[1], v[2]) if i == 0 else (v[-2], v[-3])
        expected = max(expected, float(2 * next_one - next_but_one))
    return expected
