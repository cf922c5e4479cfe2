"""Compute one step of projection matching: how far each image lies from the reprojection of the current volume."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Damping of the normal equations, as a share of their mean diagonal.
DAMPING = 1e-2


@dataclass(frozen=True)
class Step:
    """The step of a round.

    Attributes
    ----------
    shifts
        ``(dy, dx)`` to add to the shifts, pixels, shape ``(n, 2)``.
    axis_angle
        Radians to add to the angle of the tilt axis.
    residuals
        ``||image - reprojection||`` over ``||image||`` of each tilt, shape ``(n,)``.
    precision
        Smaller eigenvalue of the normal matrix of each tilt's shift, relative to the sum of squares of its image, shape
        ``(n,)``: near zero where the image has no contrast in some direction.
    """

    shifts: NDArray[np.float64]
    axis_angle: float
    residuals: NDArray[np.float64]
    precision: NDArray[np.float64]


def match(
    images: NDArray[np.float32],
    reprojections: NDArray[np.float32],
    weights: NDArray[np.float32],
    tilt_weights: NDArray[np.float64],
    *,
    limit: float,
    rotate: bool,
) -> Step:
    """Return one damped Gauss-Newton step of each tilt's shift, and of the angle of the tilt axis.

    An image that lies ``e`` away from its place is ``q - e . grad q``, where ``q`` is its reprojection. An error ``d`` of the
    axis' angle adds ``d (row dq/dcolumn - column dq/drow)``, with rows and columns from the middle.

    Parameters
    ----------
    images, reprojections
        Both at the current shifts, shape ``(n, ny, nu)``.
    weights
        Weights of the pixels, of the same shape.
    tilt_weights
        Weights of the tilts in the step of the common angle, shape ``(n,)``.
    limit
        Largest step of a shift in pixels.
    rotate
        True: also compute a step of the angle. False: that step is zero.
    """
    n, ny, nu = images.shape
    rows, columns = np.arange(ny)[:, None] - (ny - 1) / 2, np.arange(nu) - (nu - 1) / 2
    shifts, residuals, precision = np.zeros((n, 2)), np.zeros(n), np.zeros(n)
    curvature = slope = 0.0
    parts = []
    for i in range(n):
        w, q = weights[i], reprojections[i]
        difference = images[i] - q
        total = float(np.sum(w * images[i] ** 2, dtype=np.float64))
        residuals[i] = math.sqrt(float(np.sum(w * difference**2, dtype=np.float64)) / max(total, 1e-30))
        g_row, g_column = np.gradient(q)
        basis = [-g_row, -g_column]
        if rotate:
            basis.append(rows * g_column - columns * g_row)
        weighted = [w * b for b in basis]
        normal = np.array([[np.sum(a * b, dtype=np.float64) for b in basis] for a in weighted])
        right = np.array([np.sum(a * difference, dtype=np.float64) for a in weighted])
        damped = normal[:2, :2] + DAMPING * np.trace(normal[:2, :2]) / 2 * np.eye(2) + 1e-30 * np.eye(2)
        precision[i] = np.linalg.eigvalsh(normal[:2, :2])[0] / max(total, 1e-30)
        shifts[i] = np.linalg.solve(damped, right[:2])
        if rotate:
            # the shift of the tilt explains a part of the rotation; only the rest counts
            cross = np.linalg.solve(damped, normal[:2, 2])
            curvature += tilt_weights[i] * (normal[2, 2] - normal[2, :2] @ cross)
            slope += tilt_weights[i] * (right[2] - normal[2, :2] @ shifts[i])
            parts.append(cross)
    angle = slope / curvature if rotate and curvature > 0 else 0.0
    if rotate:
        shifts -= angle * np.array(parts)
    return Step(np.clip(shifts, -limit, limit), angle, residuals, precision)


def remove_gauge(shifts: NDArray[np.float64], angles: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shifts without the part that only moves the volume.

    A volume moved by ``(Z, Y, X)`` moves every image by ``Y`` rows and ``X cos(theta) - Z sin(theta)`` columns. No data
    determine such a movement.

    Parameters
    ----------
    shifts
        ``(dy, dx)`` in pixels, shape ``(n, 2)``.
    angles
        Tilt angles in radians, shape ``(n,)``.
    weights
        Weights of the tilts in the fit, shape ``(n,)``.
    """
    root = np.sqrt(weights)[:, None]
    free = shifts.copy()
    free[:, 0] -= np.average(shifts[:, 0], weights=weights)
    basis = np.stack([np.cos(angles), np.sin(angles)], -1)
    free[:, 1] -= basis @ np.linalg.lstsq(root * basis, root[:, 0] * shifts[:, 1], rcond=1e-6)[0]
    return free
