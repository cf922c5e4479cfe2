"""Fourier shell correlations as plain values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tomoprior.metrics import FSC

#: A shell of fewer Fourier voxels says nothing: the innermost of a flat volume has two.
FEWEST = 12


def curve(found: FSC, threshold: float) -> dict[str, Any]:
    """Frequencies in cycles per voxel, correlations (None where there is no value), and where they fall below ``threshold``."""
    found = replace(found, correlation=np.where(found.count >= FEWEST, found.correlation, np.nan))
    crossing = found.crossing(threshold)
    mean = found.mean(0.25)
    return {
        "frequency": found.frequency.tolist(),
        "correlation": [float(c) if np.isfinite(c) else None for c in found.correlation],
        "crossing": crossing if np.isfinite(crossing) else None,
        "mean": mean if np.isfinite(mean) else None,
        "threshold": threshold,
    }
