"""Frequencies of an image's real Fourier transform."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import InputError

Floats = NDArray[np.float64]


def image_frequencies(shape: tuple[int, int], pixel_size: float) -> tuple[Floats, Floats]:
    """Return ``ky``, shape ``(ny, 1)``, and ``kx``, shape ``(1, nu // 2 + 1)``, of ``rfft2``, in cycles per angstrom.

    Parameters
    ----------
    shape
        Rows and columns of the image.
    pixel_size
        Edge of a pixel in angstrom.

    Raises
    ------
    InputError
        If the pixel size is not a positive number.
    """
    if not 0 < pixel_size < np.inf:
        raise InputError(f"the pixel size must be a positive number of angstrom, got {pixel_size!r}")
    ny, nu = shape
    ky, kx = (np.asarray(k, np.float64) for k in (np.fft.fftfreq(ny, pixel_size), np.fft.rfftfreq(nu, pixel_size)))
    return ky[:, None], kx[None, :]
