"""Transforms of tilt images: rotation, magnification and shift of each tilt, as matrices and as lines of IMOD's ``.xf``.

Conventions
-----------
- Positions are ``(row, column)`` in pixels from the middle of an image.
- A feature at ``p`` in the aligned image lies at ``m R (p + shift)`` in the raw image. ``shift = (dy, dx)`` is how far the
  picture lies from where it should, measured in the axes of the aligned image.
- ``R`` turns by the angle of the tilt axis: the axis has the direction ``(cos a, -sin a)`` in the raw image. ``a`` is IMOD's
  angle: counterclockwise from the y axis where rows grow upwards.
- ``m`` is the magnification of the raw image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def image_matrices(rotations: ArrayLike, magnifications: ArrayLike) -> NDArray[np.float64]:
    """Return ``m R`` of each tilt, shape ``(n, 2, 2)``, which takes an aligned position to a raw one.

    Parameters
    ----------
    rotations
        Angles of the tilt axis in radians, shape ``(n,)``.
    magnifications
        Magnifications of the raw images, shape ``(n,)``.
    """
    a, m = np.asarray(rotations, float), np.asarray(magnifications, float)
    c, s = m * np.cos(a), m * np.sin(a)
    return np.stack([np.stack([c, s], -1), np.stack([-s, c], -1)], -2)


def turn_shifts(shifts: ArrayLike, rotations: ArrayLike) -> NDArray[np.float64]:
    """Return shifts ``(dy, dx)`` of the raw images in the axes of the aligned images, shape ``(n, 2)``.

    Parameters
    ----------
    shifts
        ``(dy, dx)`` in the axes of the raw images, shape ``(n, 2)``.
    rotations
        Angles of the tilt axis in radians, shape ``(n,)``.
    """
    inverse = image_matrices(rotations, np.ones(len(np.asarray(rotations)))).transpose(0, 2, 1)
    return np.asarray((inverse @ np.asarray(shifts, float)[..., None])[..., 0])


def to_xf(rotations: ArrayLike, magnifications: ArrayLike, shifts: ArrayLike) -> NDArray[np.float64]:
    """Return the lines ``A11 A12 A21 A22 DX DY`` of IMOD's ``.xf``, shape ``(n, 6)``; they take raw images to aligned ones."""
    inverse = np.linalg.inv(image_matrices(rotations, magnifications))
    moved = -np.asarray(shifts, float)
    # IMOD counts x before y
    columns = [inverse[:, 1, 1], inverse[:, 1, 0], inverse[:, 0, 1], inverse[:, 0, 0], moved[:, 1], moved[:, 0]]
    return np.stack(columns, -1) + 0.0  # no negative zeros


def from_xf(table: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return rotations (radians), magnifications, shifts and the distortion of each line of an ``.xf`` table.

    Returns
    -------
    rotations, magnifications, shifts
        Shapes ``(n,)``, ``(n,)`` and ``(n, 2)``; the inverse of ``to_xf``.
    distortions
        Largest difference of an entry from a rotation with one magnification, shape ``(n,)``: zero unless the line stretches,
        shears or mirrors the image.
    """
    lines = np.asarray(table, float)
    a11, a12, a21, a22 = lines[:, :4].T
    c, s = (a11 + a22) / 2, (a12 - a21) / 2
    scale = np.hypot(c, s)
    distortions = np.maximum(np.abs(a11 - a22), np.abs(a12 + a21)) / 2
    return np.arctan2(s, c), 1 / np.maximum(scale, 1e-12), -lines[:, [5, 4]] + 0.0, distortions
