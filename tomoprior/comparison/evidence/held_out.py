"""Prediction of tilts that a method did not see: evidence without a truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from tomoprior.comparison.evidence.calibration import broadcast_weights, project
from tomoprior.comparison.evidence.prediction import compare_with_prediction
from tomoprior.comparison.shared import Reconstruct, SharedInput, choose_held_out


def held_out(shared: SharedInput, reconstruct: Reconstruct) -> dict[str, Any]:
    """Reconstruct without every fifth tilt and compare those tilts with the projections of the volume.

    For each tilt a scale, an offset and a shift are fitted first, so that its brightness and its misalignment do not count. The
    error is relative to what remains of the tilt.

    Raises
    ------
    InputError
        For fewer than five tilts.
    """
    series = shared.series
    keep, out = choose_held_out(series)
    test = series.select(out)
    volume = reconstruct(series.select(keep), "held_out").volume
    forward, ones = project(volume, shared.projector(test))
    shape = test.projections.shape
    weights = None if test.weights is None else np.broadcast_to(broadcast_weights(test.weights), shape)
    tilts = [
        compare_with_prediction(*tilt, None if weights is None else weights[i])
        for i, tilt in enumerate(zip(test.projections, forward, ones, strict=True))
    ]
    trust = np.ones(len(out)) if weights is None else weights.mean((1, 2), dtype=np.float64)
    trust = trust / trust.mean()
    squares = np.array([t.square for t in tilts])
    return {
        "views": out.tolist(),
        "angles": np.rad2deg(test.geometry.angles).tolist(),
        "errors": np.sqrt(squares).tolist(),
        "squares": (trust * squares).tolist(),
        "bands": (trust[:, None] * np.array([t.bands for t in tilts])).T.tolist(),
        "error": float(np.sqrt(np.mean(trust * squares))),
        "scales": [t.scale for t in tilts],
        "shifts": [list(t.shift) for t in tilts],
    }
