"""What goes wrong while a tilt series is taken: shifts, drift, angles and axis that are not what they should be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from tomoprior.geometry import Geometry


def misaligned(
    nominal: Geometry,
    rng: Generator,
    *,
    shift_std: float,
    drift: tuple[float, float],
    angle_std: float,
    axis_offset: float,
) -> Geometry:
    """Where the rays really run; arguments as in ``simulate``.

    The numbers drawn do not depend on each other's sizes: twice the standard deviation gives twice the same errors.
    """
    n = nominal.n_angles
    jitter, wrong = rng.standard_normal((n, 2)), rng.standard_normal(n)
    # the drift goes through the middle of the series, so that its mean is nothing
    course = np.linspace(-0.5, 0.5, n) if n > 1 else np.zeros(1)
    shifts = shift_std * jitter + course[:, None] * np.asarray(drift, dtype=float)
    return replace(
        nominal,
        angles=nominal.angles + angle_std * wrong,
        center=nominal.center + axis_offset,
        shifts=shifts if np.any(shifts) else None,
    )
