"""How far the tilts are from the projections of the volume: which tilts do not fit with the others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.comparison.evidence.calibration import calibrate, projected
from tomoprior.projector import Projector
from tomoprior.series import TiltSeries

#: A tilt sticks out by this many robust standard deviations from its neighbours, and by this share of the typical residual.
SIGMAS, SHARE = 6.0, 0.3
#: Tilts on either side, in the order of angle, that are its neighbours: steep tilts have larger residuals than flat ones.
NEIGHBOURS = 3


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
    """Indices of values far above those of the neighbouring angles; empty with fewer than eight."""
    if len(values) < 2 * NEIGHBOURS + 2:
        return []
    order = np.argsort(angles, kind="stable")
    v = values[order]
    around = np.array([np.median(np.delete(v, i)[max(0, i - NEIGHBOURS) : i + NEIGHBOURS]) for i in range(len(v))])
    excess = v - around
    spread = 1.4826 * np.median(np.abs(excess - np.median(excess)))
    out = (excess > SIGMAS * spread) & (excess > SHARE * np.median(v))
    return sorted(int(i) for i in order[out])
