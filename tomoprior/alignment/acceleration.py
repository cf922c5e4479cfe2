"""Anderson acceleration of a fixed-point iteration: Anderson, J. ACM 12 (1965) 547; Walker and Ni, SINUM 49 (2011) 1715."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Anderson:
    """Accelerate the iteration ``x <- x + f(x)``: extrapolate the last iterates, so that smooth errors fade as fast as others.

    Parameters
    ----------
    depth
        Number of earlier iterates.
    damping
        Share of the mean diagonal that is added to the normal equations.

    Examples
    --------
    A step that corrects a hundredth of the error converges in three steps instead of hundreds:

    >>> import numpy as np
    >>> anderson, x = Anderson(depth=5, damping=1e-9), np.zeros(1)
    >>> for _ in range(3):
    ...     x = anderson.step(x, 0.01 * (7 - x))
    >>> round(float(x[0]), 3)
    7.0
    """

    def __init__(self, depth: int = 8, damping: float = 1e-3) -> None:
        self._depth, self._damping = depth, damping
        self._points: list[NDArray[np.float64]] = []
        self._steps: list[NDArray[np.float64]] = []

    def step(self, point: NDArray[np.float64], step: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the next point, from the current one and the step ``f`` there."""
        self._points = [*self._points, point][-self._depth - 1 :]
        self._steps = [*self._steps, step][-self._depth - 1 :]
        plain = point + step
        if len(self._points) == 1:
            return plain
        moves, changes = (np.diff(np.array(values), axis=0).T for values in (self._points, self._steps))
        normal = changes.T @ changes
        scale = np.trace(normal) / len(normal)
        if scale == 0:
            return plain
        weights = np.linalg.solve(normal + self._damping * scale * np.eye(len(normal)), changes.T @ step)
        return np.asarray(plain - (moves + changes) @ weights)
