"""Misalignment of a tilt series: errors of shifts, drift, angles and axis."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from tomoprior.geometry import Geometry


def misalign_geometry(
    nominal: Geometry,
    rng: Generator,
    *,
    shift_std: float,
    drift: tuple[float, float],
    angle_std: float,
    axis_offset: float,
) -> Geometry:
    """Return the true geometry of a series whose nominal geometry is given.

    The random numbers do not depend on the sizes of the errors: twice the standard deviation gives twice the same errors.

    Parameters
    ----------
    nominal
        The geometry that the microscope reports.
    rng
        Source of random numbers.
    shift_std
        Standard deviation of each tilt's shift along y and along u, in pixels.
    drift
        ``(dy, dx)`` in pixels from the first tilt to the last, linear, zero in the middle of the series.
    angle_std
        Standard deviation of the angles' errors in radians.
    axis_offset
        Offset of the tilt axis from its nominal place, in pixels.
    """
    n = nominal.n_angles
    jitter, angle_errors = rng.standard_normal((n, 2)), rng.standard_normal(n)
    # the drift is zero in the middle of the series, so that its mean is zero
    course = np.linspace(-0.5, 0.5, n) if n > 1 else np.zeros(1)
    shifts = shift_std * jitter + course[:, None] * np.asarray(drift, dtype=float)
    return replace(
        nominal,
        angles=nominal.angles + angle_std * angle_errors,
        center=nominal.center + axis_offset,
        shifts=shifts if np.any(shifts) else None,
    )
