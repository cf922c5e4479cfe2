"""Newton steps of shifts and tilt axis that take into account how the volume follows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tomoprior.alignment.matching import Match, remove_gauge

#: Largest degree of the polynomials over the tilts that are solved for with the volume's response.
DEGREE = 2
#: Share of the largest singular value below which a movement of the images is one of the volume, and so is left out.
GAUGE = 0.05
#: Displacements for the differences: root mean square of the shifts in pixels, and the angle of the axis in radians.
SHIFT, TURN = 0.3, np.deg2rad(0.5)
#: Curvature below this share of the one with a fixed volume counts as this share: the images do not determine the movement.
LEAST_SHARE = 1e-3

#: Compares the images after displacements ``(n, 2)`` in pixels and a turn of the axis in radians.
Compare = Callable[[NDArray[np.float64], float], Match]


@dataclass(frozen=True)
class Response:
    """Movements that vary slowly over the tilts, and the change of the gradient along each of them.

    A volume follows a slow drift, or a wrong angle of the tilt axis, so well that only a hundredth may remain in the
    residual. A step that takes the volume as fixed corrects as little of the error. For these few movements differences of
    the gradient are taken, each with a volume of its own; each tilt then takes its own step for the rest. Noise in the
    volume changes the curvature several times over, and is in the differences too.

    Attributes
    ----------
    shifts, axis_angles
        The movements, shapes ``(k, n, 2)`` and ``(k,)``.
    shift_products, axis_products
        Fall of the gradient by shifts and by the angle of the axis for each of them, of the same shapes.
    normal
        Curvature along the movements, symmetric and positive, shape ``(k, k)``.
    """

    shifts: NDArray[np.float64]
    axis_angles: NDArray[np.float64]
    shift_products: NDArray[np.float64]
    axis_products: NDArray[np.float64]
    normal: NDArray[np.float64]

    @classmethod
    def measure(
        cls, at: Match, angles: NDArray[np.float64], weights: NDArray[np.float64], compare: Compare, *, rotate: bool
    ) -> Response:
        """Return the response at the current places.

        Parameters
        ----------
        at
            The comparison at these places.
        angles, weights
            Tilt angles in radians and weights of the tilts, shape ``(n,)``.
        compare
            Compares displaced images.
        rotate
            True: the angle of the axis is one of the movements.
        """
        shifts = make_smooth_shifts(angles, weights) * SHIFT * len(angles) ** 0.5
        turns = np.zeros(len(shifts))
        if rotate:
            products, _ = at.project(at.derivative(np.zeros((len(angles), 2)), TURN))
            # each tilt's own shift explains a part of the rotation; only the rest counts
            shifts = np.concatenate([shifts, -np.linalg.solve(at.normal, products[..., None])[None, ..., 0]])
            turns = np.append(turns, TURN)
        changes, fixed = [], []
        for shift, turn in zip(shifts, turns, strict=True):
            ahead, behind = compare(shift, turn), compare(-shift, -turn) if turn else at
            span = 2.0 if turn else 1.0
            changes.append(((behind.gradient - ahead.gradient) / span, (behind.axis_gradient - ahead.axis_gradient) / span))
            by_shift, by_turn = at.project(at.derivative(shift, turn))
            fixed.append(float(np.sum(shift * by_shift) + turn * by_turn))
        by_shifts, by_turns = np.array([c[0] for c in changes]), np.array([c[1] for c in changes])
        products = np.tensordot(shifts, by_shifts, axes=((1, 2), (1, 2))) + np.outer(turns, by_turns)
        scale = np.sqrt(np.maximum(np.abs(fixed), 1e-30))
        sizes, vectors = np.linalg.eigh((products + products.T) / 2 / np.outer(scale, scale))
        normal = np.outer(scale, scale) * ((vectors * np.maximum(sizes, LEAST_SHARE)) @ vectors.T)
        return cls(shifts, turns, by_shifts, by_turns, normal)

    def step(self, at: Match) -> tuple[NDArray[np.float64], float]:
        """Return the steps of the shifts, ``(n, 2)`` in pixels, and of the angle of the axis, radians."""
        right = np.tensordot(self.shifts, at.gradient, axes=((1, 2), (0, 1))) + self.axis_angles * at.axis_gradient
        sizes = np.linalg.solve(self.normal, right)
        rest = at.gradient - np.tensordot(sizes, self.shift_products, axes=1)
        own = np.linalg.solve(at.normal, rest[..., None])[..., 0]
        return np.asarray(np.tensordot(sizes, self.shifts, axes=1) + own), float(sizes @ self.axis_angles)


def make_smooth_shifts(angles: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return shifts that vary slowly over the tilts and that are no movement of the volume, shape ``(k, n, 2)``."""
    x = angles / max(float(np.abs(angles).max()), 1e-12)
    powers = np.polynomial.legendre.legvander(x, min(DEGREE, len(np.unique(angles)) - 1)).T
    movements = []
    for axis in (0, 1):
        for power in powers:
            shift = np.zeros((len(angles), 2))
            shift[:, axis] = power
            movements.append(remove_gauge(shift, angles, weights).ravel())
    left, sizes, _ = np.linalg.svd(np.array(movements).T, full_matrices=False)
    return np.asarray(left[:, sizes > GAUGE * sizes[0]].T.reshape(-1, len(angles), 2))
