"""The scale and the offset of a volume that fit the measured tilts best.

Filtered back-projection loses the zero frequency, and other methods shrink contrast. Two numbers, fitted to the tilts that the
method saw, bring all volumes to one scale.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tomoprior.projector import Projector


def calibrate(
    forward: NDArray[np.float32],
    ones: NDArray[np.float32],
    projections: NDArray[np.float32],
    weights: NDArray[np.float32] | None,
) -> tuple[float, float]:
    """Return ``(a, b)``, the least-squares solution of ``a A x + b A 1 = p``.

    Parameters
    ----------
    forward, ones, projections
        ``A x``, ``A 1`` and ``p``, shape ``(n_angles, ny, nu)``.
    weights
        Weights of the squares: shape ``(n_angles,)``, the full shape, or None.
    """
    w = 1.0 if weights is None else broadcast_weights(weights)
    columns = [forward, ones]
    normal = np.array([[np.sum(w * a * b, dtype=np.float64) for b in columns] for a in columns])
    right = np.array([np.sum(w * a * projections, dtype=np.float64) for a in columns])
    (a, b), *_ = np.linalg.lstsq(normal, right, rcond=1e-10)
    return float(a), float(b)


def broadcast_weights(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return weights of tilts or of pixels in a shape that multiplies projections."""
    return weights[:, None, None] if weights.ndim == 1 else weights


def project(volume: NDArray[np.float32], projector: Projector) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return ``A x`` and ``A 1``."""
    return projector(volume), projector(np.ones_like(volume))
