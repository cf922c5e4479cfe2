"""Against a truth: measures of agreement, and where the error lies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from tomoprior.comparison.evidence.curves import curve
from tomoprior.geometry import Geometry
from tomoprior.metrics import directional_fsc, evaluate, fsc, match_scale, measured_region
from tomoprior.metrics.matching import Match

#: Against a reference without error.
THRESHOLD = 0.5
#: Blocks of slices at most, whose errors are compared in pairs.
BLOCKS = 16


def against_truth(volume: NDArray[np.float32], truth: NDArray[np.float32], geometry: Geometry, match: Match) -> dict[str, Any]:
    """``metrics.evaluate``, the curves, the error inside and outside of what was measured, and errors of blocks of slices."""
    a, b = match_scale(volume, truth, match), truth.astype(np.float64)
    scores = evaluate(a, b, angles=geometry.angles, region="wedge")
    plain = {name: value if math.isfinite(value) else None for name, value in scores.items()}
    curves = {"fsc": fsc(a, b), **directional_fsc(a, b, geometry.angles, mode="wedge")}
    blocks = np.array_split(np.arange(truth.shape[1]), min(BLOCKS, truth.shape[1]))
    return {
        **plain,
        **_errors(a, b, geometry),
        "curves": {name: curve(found, THRESHOLD) for name, found in curves.items()},
        "blocks": [float(np.mean((a[:, rows] - b[:, rows]) ** 2)) for rows in blocks],
        "match": match,
    }


def _errors(a: NDArray[np.float64], b: NDArray[np.float64], geometry: Geometry) -> dict[str, Any]:
    """Power of the error over the truth's, among the directions measured and among those that were not."""
    present = measured_region(a.shape, geometry.angles, mode="wedge")
    error, own = (np.abs(fft.rfftn(v)) ** 2 for v in (a - b, b - b.mean()))
    found = {}
    for name, region in (("error_present", present), ("error_missing", ~present)):
        of = float(own[region].sum())
        found[name] = float(error[region].sum()) / of if of > 0 else None
    return found
