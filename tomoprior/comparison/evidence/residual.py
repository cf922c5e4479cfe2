"""The misfit of each tilt with the projections of the volume, and the tilts that do not fit with the others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.comparison.evidence.calibration import calibrate, project
from tomoprior.projector import Projector
from tomoprior.series import TiltSeries

#: A bad tilt exceeds its neighbours by this many robust standard deviations and by this share of their residual.
SIGMAS, SHARE = 6.0, 0.4
#: Number of neighbours on either side, by angle. Steep tilts have larger residuals than flat ones.
NEIGHBOURS = 3
#: A bad tilt raises the residual of up to DRAGGED neighbours on either side. Such a neighbour is reported only if its excess
#: is larger than ALIKE times that of the bad tilt.
DRAGGED, ALIKE = 2, 0.6


def residual(volume: NDArray[np.float32], series: TiltSeries, projector: Projector) -> dict[str, Any]:
    """Return the relative residual of every tilt, ``||p_t - A_t x|| / ||p_t||`` after ``calibrate``, and the bad tilts."""
    forward, ones = project(volume, projector)
    a, b = calibrate(forward, ones, series.projections, series.weights)
    difference = (series.projections - a * forward - b * ones).reshape(len(forward), -1)
    squares = np.einsum("ij,ij->i", difference, difference, dtype=np.float64)
    measured = series.projections.reshape(len(forward), -1)
    norms = np.einsum("ij,ij->i", measured, measured, dtype=np.float64)
    relative = np.sqrt(squares / np.maximum(norms, 1e-300))
    return {
        "angles": np.rad2deg(series.geometry.angles).tolist(),
        "residuals": relative.tolist(),
        "outliers": find_outliers(relative, series.geometry.angles),
        "total": float(np.sqrt(squares.sum() / norms.sum())),
        "calibration": [a, b],
    }


def find_outliers(values: NDArray[np.float64], angles: NDArray[np.float64]) -> list[int]:
    """Return the indices of values far above those of the neighbouring angles; empty for fewer than eight values.

    A bad tilt raises the residuals of its neighbours: they are reported only if they are nearly as bad.
    """
    if len(values) < 2 * NEIGHBOURS + 2:
        return []
    order = np.argsort(angles, kind="stable")
    v = values[order]
    expected = np.array([_expected(v, i) for i in range(len(v))])
    excess = v - expected
    spread = 1.4826 * np.median(np.abs(excess - np.median(excess)))
    high = (excess > SIGMAS * spread) & (excess > SHARE * expected)
    outliers: list[int] = []
    for i in sorted(np.flatnonzero(high), key=lambda i: -excess[i]):
        beside = [excess[j] for j in outliers if abs(j - i) <= DRAGGED]
        if not beside or excess[i] > ALIKE * max(beside):
            outliers.append(int(i))
    return sorted(int(order[i]) for i in outliers)


def _expected(v: NDArray[np.float64], i: int) -> float:
    """Return the value that the neighbours predict: their median, or at the ends the line through the next two if larger."""
    near = [v[j] for j in range(max(0, i - NEIGHBOURS), min(len(v), i + NEIGHBOURS + 1)) if j != i]
    expected = float(np.median(near))
    if i in (0, len(v) - 1):
        nearest, second = (v[1], v[2]) if i == 0 else (v[-2], v[-3])
        expected = max(expected, float(2 * nearest - second))
    return expected
