"""Ranges of tilt angles as text."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import InputError


def parse_range(text: str) -> NDArray[np.float64] | None:
    """Return the degrees of a range ``START:END:STEP``, both ends included, or None if the text has another form.

    Parameters
    ----------
    text
        Three numbers of degrees, separated by colons.

    Returns
    -------
    degrees
        Shape ``(n,)``. The end is left out if no whole number of steps leads to it.

    Raises
    ------
    InputError
        For a step of zero, a step that leads away from the end, or more than a million angles.

    Examples
    --------
    >>> from tomoprior.formats.angle_ranges import parse_range
    >>> parse_range("-60:60:30").tolist()
    [-60.0, -30.0, 0.0, 30.0, 60.0]
    """
    try:
        start, end, step = (float(part) for part in text.split(":"))
    except ValueError:
        return None
    if not all(map(math.isfinite, (start, end, step))) or step == 0 or (end - start) * step < 0:
        raise InputError(f"angles {text}: no steps of {step:g} lead from {start:g} to {end:g}")
    count = (end - start) / step
    if count > 1_000_000:
        raise InputError(f"angles {text}: more than a million angles")
    return np.asarray(start + step * np.arange(int(count + 1e-6) + 1), dtype=np.float64)
