"""The share of a volume that lies in directions that no tilt measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from tomoprior.geometry import Geometry
from tomoprior.metrics import measured_region
from tomoprior.metrics.fourier import fade_out
from tomoprior.metrics.regions import rfft_weights

#: Part of each axis over which a volume fades out before its transform. The jump at its faces has power in all directions.
TAPER = 0.2


def inferred_share(volume: NDArray[np.float32], geometry: Geometry) -> float:
    """Return the share of the volume's power, without its mean, outside the directions between the lowest and highest tilt."""
    present = measured_region(volume.shape, geometry.angles, mode="wedge")
    faded = fade_out(volume - volume.mean(dtype=np.float64), TAPER)
    power = np.abs(fft.rfftn(faded)) ** 2 * rfft_weights(volume.shape[-1])
    power[0, 0, 0] = 0.0
    total = float(power.sum())
    return float(power[~present].sum() / total) if total > 0 else 0.0
