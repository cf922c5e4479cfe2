"""A centre of TomoPy's other convention, by the centres of mass of the projections."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: The border of the projections may hold this share of their largest value: the specimen lies within the field of view.
_EMPTY = 0.02
_BORDER = 2
#: Pixels: largest deviation of centres of mass from a sine, and of their axis from half a pixel beside the given one.
_SCATTER, _TOLERANCE = 0.2, 0.15
_MIN_TILTS = 8


def axis_by_mass(sinograms: NDArray[np.float32], theta: NDArray[np.float64]) -> float | None:
    """Return the axis, in pixels from the detector's edge, about which the centres of mass of the projections turn.

    A centre of mass moves along ``axis + a cos(theta) - b sin(theta)`` (Azevedo et al., IEEE Trans. Nucl. Sci. 37 (1990) 1525).

    Parameters
    ----------
    sinograms
        Line integrals of some slices, ``(slices, angles, columns)``.
    theta
        Radians, shape ``(angles,)``.

    Returns
    -------
    axis
        None where the specimen fills the field of view, the tilts are few, or the centres of mass do not follow a sine.
    """
    profiles = sinograms.sum(0, dtype=np.float64)
    n, columns = profiles.shape
    mass, largest = profiles.sum(1), float(np.abs(profiles).max())
    if n < _MIN_TILTS or columns <= 4 * _BORDER or not np.isfinite(largest) or not (mass > 0).all():
        return None
    if np.abs(profiles[:, [*range(_BORDER), *range(-_BORDER, 0)]]).max() > _EMPTY * largest or np.ptp(mass) > 0.1 * mass.mean():
        return None
    middle = profiles @ (np.arange(columns) + 0.5) / mass
    design = np.stack([np.ones(n), np.cos(theta), np.sin(theta)], axis=1)
    solution, _, rank, singular = np.linalg.lstsq(design, middle, rcond=None)
    if rank < 3 or singular[-1] < 0.1 * singular[0] or np.abs(middle - design @ solution).max() > _SCATTER:
        return None
    return float(solution[0])


def describe_convention(sinograms: NDArray[np.float32], theta: NDArray[np.float64], center: NDArray[np.float64]) -> str | None:
    """Return a line for the user if a centre from the edge is half a pixel less than the axis, as an index is; else None."""
    axis = axis_by_mass(sinograms, theta)
    if axis is None or np.ptp(center) > _TOLERANCE or abs(axis - float(center.mean()) - 0.5) > _TOLERANCE:
        return None
    given = float(center.mean())
    return (
        f"the centres of mass turn about {axis:.2f} pixels from the edge, half a pixel beyond the given center of {given:g}: "
        'for a centre that is an index, as tomopy.find_center returns it, add center_convention="index"'
    )
