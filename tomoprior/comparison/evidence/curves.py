"""Fourier shell correlations as plain values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tomoprior.metrics import FSC
from tomoprior.metrics.curve import FEWEST


def describe_curve(curve: FSC, threshold: float) -> dict[str, Any]:
    """Return frequencies in cycles per voxel, correlations (None without a value), and the crossing of ``threshold``."""
    curve = replace(curve, correlation=np.where(curve.count >= FEWEST, curve.correlation, np.nan))
    crossing, mean = curve.crossing(threshold), curve.mean(0.25)
    return {
        "frequency": curve.frequency.tolist(),
        "correlation": [float(c) if np.isfinite(c) else None for c in curve.correlation],
        "crossing": crossing if np.isfinite(crossing) else None,
        "mean": mean if np.isfinite(mean) else None,
        "threshold": threshold,
    }
