"""Compare images with the reprojections of the current volume: the gradient of the misfit by the shifts and the tilt axis."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Damping of the normal equations, as a share of their mean diagonal.
DAMPING = 1e-2


@dataclass(frozen=True)
class Match:
    """Images at some places, compared with the reprojections of a volume.

    An image that lies ``e`` away from its place is ``q - e . grad q``, where ``q`` is its reprojection. An error ``d`` of the
    axis' angle adds ``d (row dq/dcolumn - column dq/drow)``, with rows and columns from the middle.

    Attributes
    ----------
    reprojections, weights
        Reprojections ``q`` and weights of the pixels, shape ``(n, ny, nu)``.
    gradient
        Products of the residuals with these derivatives by ``(dy, dx)``, shape ``(n, 2)``.
    axis_gradient
        The same for the angle of the axis.
    normal
        Products of the derivatives by ``(dy, dx)`` with each other, damped, shape ``(n, 2, 2)``.
    residuals
        ``||image - reprojection||`` over ``||image||`` of each tilt, shape ``(n,)``.
    squares
        Weighted sum of squares of ``image - reprojection``, shape ``(n,)``.
    precision
        Smaller eigenvalue of the normal matrix of each tilt's shift, relative to the sum of squares of its image, shape
        ``(n,)``: near zero where the image has no contrast in some direction.
    """

    reprojections: NDArray[np.float32]
    weights: NDArray[np.float32]
    gradient: NDArray[np.float64]
    axis_gradient: float
    normal: NDArray[np.float64]
    residuals: NDArray[np.float64]
    squares: NDArray[np.float64]
    precision: NDArray[np.float64]

    @property
    def shifts(self) -> NDArray[np.float64]:
        """Steps of the shifts that each tilt would take alone, pixels, shape ``(n, 2)``."""
        return np.asarray(np.linalg.solve(self.normal, self.gradient[..., None])[..., 0])

    def derivative(self, shifts: NDArray[np.float64], axis_angle: float) -> NDArray[np.float32]:
        """Return the change of the reprojections for shifts ``(n, 2)`` and an angle of the axis, shape ``(n, ny, nu)``."""
        _, ny, nu = self.reprojections.shape
        rows, columns = np.arange(ny)[:, None] - (ny - 1) / 2, np.arange(nu) - (nu - 1) / 2
        g_row, g_column = np.gradient(self.reprojections, axis=(1, 2))
        dy, dx = shifts[:, 0, None, None], shifts[:, 1, None, None]
        return np.asarray((axis_angle * rows - dx) * g_column - (axis_angle * columns + dy) * g_row, np.float32)

    def project(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
        """Return the weighted products of images with the derivatives by shifts ``(n, 2)`` and by the angle of the axis."""
        return _project(self.reprojections, self.weights, images)


def match(images: NDArray[np.float32], reprojections: NDArray[np.float32], weights: NDArray[np.float32]) -> Match:
    """Compare images with reprojections.

    Parameters
    ----------
    images, reprojections
        Both at the current shifts, shape ``(n, ny, nu)``.
    weights
        Weights of the pixels, of the same shape.
    """
    n = len(images)
    normal, residuals, squares, precision = np.zeros((n, 2, 2)), np.zeros(n), np.zeros(n), np.zeros(n)
    for i in range(n):
        w, difference = weights[i], images[i] - reprojections[i]
        total = max(float(np.sum(w * images[i] ** 2, dtype=np.float64)), 1e-30)
        squares[i] = np.sum(w * difference**2, dtype=np.float64)
        residuals[i] = math.sqrt(squares[i] / total)
        slopes = np.gradient(reprojections[i])
        products = np.array([[np.sum(w * a * b, dtype=np.float64) for b in slopes] for a in slopes])
        precision[i] = np.linalg.eigvalsh(products)[0] / total
        normal[i] = products + (DAMPING * np.trace(products) / 2 + 1e-30) * np.eye(2)
    gradient, axis_gradient = _project(reprojections, weights, images - reprojections)
    return Match(reprojections, weights, gradient, axis_gradient, normal, residuals, squares, precision)


def _project(
    reprojections: NDArray[np.float32], weights: NDArray[np.float32], images: NDArray[np.float32]
) -> tuple[NDArray[np.float64], float]:
    _, ny, nu = images.shape
    rows, columns = np.arange(ny)[:, None] - (ny - 1) / 2, np.arange(nu) - (nu - 1) / 2
    products, axis = np.zeros((len(images), 2)), 0.0
    for i, image in enumerate(images):
        weighted = weights[i] * image
        by_row, by_column = (weighted * slope for slope in np.gradient(reprojections[i]))
        products[i] = -by_row.sum(dtype=np.float64), -by_column.sum(dtype=np.float64)
        axis += float(np.sum(rows * by_column - columns * by_row, dtype=np.float64))
    return products, axis


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
