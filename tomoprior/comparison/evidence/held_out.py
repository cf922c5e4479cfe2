"""Prediction of tilts that a method did not see: evidence without a truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from tomoprior.comparison.evidence.calibration import broadcast, calibrate, projected
from tomoprior.comparison.shared import Reconstruct, SharedInput, choose_held_out


def held_out(arena: SharedInput, again: Reconstruct) -> dict[str, Any]:
    """Reconstruct without every fifth tilt and compare those with the projections of the volume.

    The scale and offset are ``calibrate``'s from the tilts fitted. Errors are relative, ``||p_t - A_t x|| / ||p_t||``.

    Raises
    ------
    InputError
        With fewer than five tilts.
    """
    series = arena.series
    keep, out = choose_held_out(series)
    train, test = series.select(keep), series.select(out)
    volume = again(train, "held_out").volume
    forward, ones = projected(volume, arena.projector(train.geometry))
    a, b = calibrate(forward, ones, train.projections, train.weights)
    forward, ones = projected(volume, arena.projector(test.geometry))
    difference = (test.projections - a * forward - b * ones).astype(np.float64)
    given = test.projections.astype(np.float64)
    if test.weights is not None:  # what has no weight is not predicted
        root = np.sqrt(broadcast(test.weights))
        difference, given = difference * root, given * root
    squares, norms = ((v * v).sum((1, 2)) for v in (difference, given))
    return {
        "views": out.tolist(),
        "angles": np.rad2deg(test.geometry.angles).tolist(),
        "errors": np.sqrt(squares / np.maximum(norms, 1e-300)).tolist(),
        "squares": (squares / norms.sum()).tolist(),
        "error": float(np.sqrt(squares.sum() / norms.sum())),
        "calibration": [a, b],
    }
