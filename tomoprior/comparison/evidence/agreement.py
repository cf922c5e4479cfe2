"""Agreement between methods, voxel by voxel."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def agreement(volumes: Mapping[str, NDArray[np.float32]]) -> dict[str, dict[str, float]]:
    """Return Pearson's correlation of every pair, by label; 0 for a constant volume."""
    normal = {}
    for label, volume in volumes.items():
        v = volume - volume.mean(dtype=np.float64)
        length = float(np.sqrt(np.sum(np.square(v, dtype=np.float64))))
        normal[label] = (v / length if length > 0 else v).astype(np.float32)
    return {a: {b: float(np.sum(normal[a] * normal[b], dtype=np.float64)) for b in normal if b != a} for a in normal}


def voxel_spread(
    volumes: Mapping[str, NDArray[np.float32]], calibrations: Mapping[str, tuple[float, float]]
) -> NDArray[np.float32]:
    """Return the standard deviation among the methods at each voxel, each with the scale and offset that fit the tilts."""
    shape = next(iter(volumes.values())).shape
    total, squares = np.zeros(shape), np.zeros(shape)
    for label, volume in volumes.items():
        a, b = calibrations[label]
        v = a * volume.astype(np.float64) + b
        total += v
        squares += v * v
    n = len(volumes)
    return np.asarray(np.sqrt(np.maximum(squares / n - (total / n) ** 2, 0)), np.float32)
