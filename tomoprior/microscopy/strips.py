"""Strips of columns: a tilted slab is higher on one side, so that the defocus changes across its image.

Each strip of columns has a transfer function of its own, at the defocus of its middle. A column between two middles takes its
share of both (linear interpolation), so that the shares of all strips add up to one everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tomoprior.geometry import Geometry
from tomoprior.microscopy.grid import Floats

if TYPE_CHECKING:
    from tomoprior.microscopy.transfer import Transfer

#: Largest phase error at the Nyquist frequency, in radians, between a column and the middle of its strip.
PHASE_ERROR = 0.5


@dataclass(frozen=True)
class Strips:
    """Strips of the columns of all images of a series.

    Attributes
    ----------
    windows
        Shares of the strips in each column, shape ``(n_strips, nu)``. They add up to 1.
    offsets
        Defocus of the middle of each strip beyond that of the image, in angstrom, shape ``(n_angles, n_strips)``.
    """

    windows: Floats
    offsets: Floats


def defocus_strips(transfer: Transfer, geometry: Geometry, phase_error: float = PHASE_ERROR) -> Strips | None:
    """Return the strips that the gradient of defocus needs, or None where one defocus serves a whole image.

    The middle plane of a slab lies at ``u tan(angle)`` along the beam, for a column at ``u`` from the tilt axis. The defocus
    changes by ``transfer.hand`` times this length.

    Parameters
    ----------
    transfer
        Transfer functions of the images.
    geometry
        Angles, columns and tilt axis.
    phase_error
        Largest phase error within a strip, in radians at the Nyquist frequency.

    Examples
    --------
    >>> from tomoprior import Geometry
    >>> from tomoprior.microscopy import CTF, Transfer
    >>> transfer = Transfer((8, 400), 5.0, ctf=[CTF(30000.0)] * 2)
    >>> strips = defocus_strips(transfer, Geometry([0.0, 1.0], (16, 8, 400)))
    >>> strips.offsets.shape
    (2, 2)
    >>> [round(float(d)) for d in strips.offsets[1]]
    [-779, 779]
    """
    from tomoprior.microscopy.transfer import neglected_gradient

    if transfer.ctf is None or transfer.hand == 0:
        return None
    across = neglected_gradient(geometry, transfer.pixel_size, transfer.ctf[0].voltage)["across"]
    n, nu = math.ceil(across / phase_error), geometry.detector[1]
    n = min(n, nu)
    if n <= 1:
        return None
    middles = (np.arange(n) + 0.5) * nu / n
    position = np.clip((np.arange(nu) + 0.5 - middles[0]) / (nu / n), 0, n - 1)
    windows = np.maximum(0.0, 1.0 - np.abs(position - np.arange(n)[:, None]))
    shifts = np.zeros(geometry.n_angles) if geometry.shifts is None else geometry.shifts[:, 1]
    distance = middles - float(np.mean(geometry.center)) - shifts[:, None]
    return Strips(windows, transfer.hand * transfer.pixel_size * np.tan(geometry.angles)[:, None] * distance)
