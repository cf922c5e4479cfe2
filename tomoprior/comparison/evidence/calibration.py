"""The scale and the offset that the measured tilts ask for, so that no method is judged by a constant that it leaves out.

Filtered back-projection loses the zero frequency; others shrink contrast. Two numbers, from the tilts that the method saw and
never from those that it has to predict, bring all to one scale.
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
    """``(a, b)`` of the least squares ``a A x + b A 1 = p`` over the tilts given.

    Parameters
    ----------
    forward, ones, projections
        ``A x``, ``A 1`` and ``p``, of one shape ``(n_angles, ny, nu)``.
    weights
        Of the squares: ``(n_angles,)``, the full shape, or None.
    """
    w = 1.0 if weights is None else broadcast(weights)
    columns = [forward, ones]
    normal = np.array([[np.sum(w * a * b, dtype=np.float64) for b in columns] for a in columns])
    right = np.array([np.sum(w * a * projections, dtype=np.float64) for a in columns])
    (a, b), *_ = np.linalg.lstsq(normal, right, rcond=1e-10)
    return float(a), float(b)


def broadcast(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights of tilts or of pixels as they multiply projections."""
    return weights[:, None, None] if weights.ndim == 1 else weights


def projected(volume: NDArray[np.float32], projector: Projector) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``A x`` and ``A 1``."""
    return projector(volume), projector(np.ones_like(volume))
