"""Compute radiation damage: the share of each frequency that is left after an exposure."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tomoprior.errors import InputError
from tomoprior.microscopy.grid import Floats, image_frequencies

#: Critical exposure ``A k^B + C`` in electrons per square angstrom at 300 kV (Grant and Grigorieff, eLife 4 (2015) e06980).
A, B, C = 0.245, -1.665, 2.81
#: Share of the exposure that causes the same damage at a lower voltage (in kV).
VOLTAGE_FACTORS = {200.0: 0.8, 100.0: 0.64}


def critical_exposure(frequency: ArrayLike, voltage: float = 300.0) -> Floats:
    """Return the exposure after which the signal's power at a frequency has fallen to 1/e.

    Parameters
    ----------
    frequency
        Frequency in cycles per angstrom, any shape.
    voltage
        Acceleration voltage in kilovolts. 200 and 100 kV damage more; other voltages count as 300 kV.

    Returns
    -------
    NDArray
        Electrons per square angstrom; infinite at frequency 0.

    Examples
    --------
    >>> round(float(critical_exposure(0.1)), 2)
    14.14
    """
    k = np.asarray(frequency, np.float64)
    power = np.full_like(k, np.inf)
    np.power(k, B, out=power, where=k > 0)
    scale = next((s for kilovolts, s in VOLTAGE_FACTORS.items() if abs(voltage - kilovolts) <= 2), 1.0)
    return np.asarray((A * power + C) * scale)


def exposure_filter(shape: tuple[int, int], pixel_size: float, dose: float, voltage: float = 300.0) -> Floats:
    """Return the share of the amplitude that is left at each frequency, ``exp(-dose / (2 critical_exposure))``.

    Parameters
    ----------
    shape
        Rows and columns ``(ny, nu)`` of the image.
    pixel_size
        Edge of a pixel in angstrom.
    dose
        Accumulated exposure in electrons per square angstrom.
    voltage
        Acceleration voltage in kilovolts.

    Returns
    -------
    NDArray
        Values on the grid of ``rfft2``, shape ``(ny, nu // 2 + 1)``; 1 at frequency 0.

    Raises
    ------
    InputError
        If the dose is negative or not finite.
    """
    if not 0 <= dose < np.inf:
        raise InputError(f"a dose must be a number from 0, got {dose!r}")
    ky, kx = image_frequencies(shape, pixel_size)
    return np.asarray(np.exp(-dose / (2 * critical_exposure(np.sqrt(ky**2 + kx**2), voltage))))
