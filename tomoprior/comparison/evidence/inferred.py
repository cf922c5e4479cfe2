"""How much of a volume lies in directions that no tilt measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.signal.windows import tukey

from tomoprior.geometry import Geometry
from tomoprior.metrics import measured_region
from tomoprior.metrics.fourier import rfft_weights

#: Part of each axis over which a volume fades out before its transform: its faces would put power into all directions.
TAPER = 0.2


def inferred_share(volume: NDArray[np.float32], geometry: Geometry) -> float:
    """Share of the volume's power (its mean left out) outside the directions between the lowest and the highest tilt."""
    present = measured_region(volume.shape, geometry.angles, mode="wedge")
    v = volume - volume.mean(dtype=np.float64)
    for axis, n in enumerate(volume.shape):
        if n > 4:
            window = tukey(n + 2, TAPER)[1:-1]
            v = v * window.reshape([-1 if i == axis else 1 for i in range(3)])
    power = np.abs(fft.rfftn(v)) ** 2 * rfft_weights(volume.shape[-1])
    power[0, 0, 0] = 0.0
    total = float(power.sum())
    return float(power[~present].sum() / total) if total > 0 else 0.0
