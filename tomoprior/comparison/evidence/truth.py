"""Agreement with a truth, and where the error lies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from tomoprior.comparison.evidence.curves import describe_curve
from tomoprior.geometry import Geometry
from tomoprior.metrics import directional_fsc, evaluate, fsc, match_scale, measured_region
from tomoprior.metrics.matching import Match

#: Threshold against a reference without error.
THRESHOLD = 0.5
#: The largest number of blocks of slices whose errors are compared in pairs.
BLOCKS = 16


def against_truth(volume: NDArray[np.float32], truth: NDArray[np.float32], geometry: Geometry, match: Match) -> dict[str, Any]:
    """Return the measures of ``metrics.evaluate``, the curves, the errors by direction, and the errors of blocks of slices.

    ``psnr_fitted``, ``rmse_fitted`` and ``blocks`` belong to the volume with the scale (not negative) and the offset that fit
    the truth best: no method is ranked by an offset that it cannot know.
    """
    a, b = match_scale(volume, truth, match), truth.astype(np.float64)
    fitted = _fit_scale(volume, b)
    scores = evaluate(a, b, angles=geometry.angles, region="wedge")
    plain = {name: value if math.isfinite(value) else None for name, value in scores.items()}
    curves = {"fsc": fsc(a, b), **directional_fsc(a, b, geometry.angles, mode="wedge")}
    blocks = np.array_split(np.arange(truth.shape[1]), min(BLOCKS, truth.shape[1]))
    rmse = float(np.sqrt(np.mean((fitted - b) ** 2)))
    return {
        **plain,
        "rmse_fitted": rmse,
        "psnr_fitted": 20 * math.log10(float(np.ptp(b)) / rmse) if rmse > 0 else None,
        **_errors_by_direction(a, b, geometry),
        "curves": {name: describe_curve(curve, THRESHOLD) for name, curve in curves.items()},
        "blocks": [float(np.mean((fitted[:, rows] - b[:, rows]) ** 2)) for rows in blocks],
        "match": match,
    }


def _fit_scale(volume: NDArray[np.float32], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the volume with the scale, not negative, and the offset that fit the truth best."""
    deviation = volume - volume.mean(dtype=np.float64)
    power = float(np.sum(deviation**2))
    scale = float(np.sum(deviation * (truth - truth.mean()))) / power if power > 0 else 0.0
    return np.asarray(max(0.0, scale) * deviation + truth.mean(), np.float64)


def _errors_by_direction(a: NDArray[np.float64], b: NDArray[np.float64], geometry: Geometry) -> dict[str, Any]:
    """Return the power of the error over the truth's power, for the measured directions and for the others."""
    present = measured_region(a.shape, geometry.angles, mode="wedge")
    error, own = (np.abs(fft.rfftn(v)) ** 2 for v in (a - b, b - b.mean()))
    shares = {}
    for name, region in (("error_present", present), ("error_missing", ~present)):
        power = float(own[region].sum())
        shares[name] = float(error[region].sum()) / power if power > 0 else None
    return shares
