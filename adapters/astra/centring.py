"""Sinograms for ASTRA's FBP, which knows one axis, in the middle of the detector, and tilts that are evenly spaced."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tomoprior.geometry import Geometry
from tomoprior.methods.classical.angular import compute_angular_weights

#: Columns beyond the detector on either side, so that what Fourier's series moves over one end does not come back at the other.
_MARGIN = 8


def weigh_tilts(geometry: Geometry) -> NDArray[np.float32]:
    """Return factors of the tilts, ``(n_angles, 1)``: the angle that each represents over the ``pi / n`` that ASTRA takes."""
    share = compute_angular_weights(geometry.angles) * (geometry.n_angles / math.pi)
    return np.asarray(share, np.float32)[:, None]


def center_rows(data: NDArray[np.float32], offsets: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the rows of a sinogram with the axis in their middle, on a wider detector with zeros beyond the old one.

    Parameters
    ----------
    data
        Shape ``(n_angles, nu)``.
    offsets
        Position of each tilt's detector along u, relative to one whose middle is the axis, in pixels; shape ``(n_angles,)``.
        Fractions of a pixel are moved by Fourier's series.
    """
    if not np.any(np.abs(offsets) > 1e-9):
        return data
    pad = math.ceil(float(np.abs(offsets).max())) + _MARGIN
    wide = np.pad(data, ((0, 0), (pad, pad)))
    whole = np.round(offsets).astype(int)
    rows = np.stack([np.roll(row, step) for row, step in zip(wide, whole, strict=True)])
    fractions = offsets - whole
    if not np.any(np.abs(fractions) > 1e-9):
        return rows
    frequency = np.fft.rfftfreq(rows.shape[1])
    spectrum = np.fft.rfft(rows, axis=1) * np.exp(-2j * np.pi * fractions[:, None] * frequency)
    return np.asarray(np.fft.irfft(spectrum, rows.shape[1], axis=1), np.float32)
