"""The directions of Fourier space that a tilt series measured, and the parts of a volume in and outside them.

A single-axis tilt series measures, by the central-slice theorem, planes through the origin of Fourier space that contain the
tilt axis. Nothing was measured between them or in the missing wedge: there the content of a volume was inferred.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from tomoprior.errors import InputError
from tomoprior.geometry import MAX_ANGLE
from tomoprior.metrics._arrays import Floats, to_numbers


def measured_region(
    shape: tuple[int, ...], angles: ArrayLike, *, mode: Literal["planes", "wedge"] = "planes"
) -> NDArray[np.bool_]:
    """Return which voxels of ``rfftn`` of a volume of ``shape`` a tilt series at ``angles`` (radians) measured.

    Parameters
    ----------
    shape
        Shape of the volume, ``(nz, ny, nx)``.
    angles
        Tilt angles in radians, shape ``(n_angles,)``, in any order.
    mode
        ``planes``: those within half a Fourier voxel (of the longest axis) of a tilt's plane, so that the gaps between tilts
        at high frequencies count as missing. ``wedge``: all directions between the smallest and the largest angle.

    Returns
    -------
    NDArray
        Boolean, shape ``(nz, ny, nx // 2 + 1)``.

    Raises
    ------
    InputError
        For angles that are not finite or look like degrees, or an unknown mode.
    """
    theta = np.asarray(angles, np.float64)
    if theta.ndim != 1 or theta.size == 0 or not np.all(np.isfinite(theta)):
        raise InputError("angles need shape (n_angles,) with at least one, all finite")
    if np.abs(theta).max() > MAX_ANGLE:
        raise InputError(f"an angle of {np.abs(theta).max():.6g} radians is beyond 4 pi: are these degrees? Use numpy.deg2rad")
    kz, ky, kx = frequencies(shape)
    # u = X cos - Z sin: a tilt's plane holds (kx, kz) along (cos, -sin), and its normal is (sin, cos)
    if mode == "planes":
        out = np.zeros((shape[0], 1, shape[2] // 2 + 1), bool)
        for t in theta:
            out |= np.abs(kx * np.sin(t) + kz * np.cos(t)) * max(shape) <= 0.5
    elif mode == "wedge":
        direction = np.mod(np.arctan2(-kz, kx) - theta.min(), np.pi)
        within = np.ptp(theta) + 1e-9
        out = (direction <= within) | (direction >= np.pi - 1e-9) | ((kx == 0) & (kz == 0))
    else:
        raise InputError(f"mode must be planes or wedge, got {mode!r}")
    return np.array(np.broadcast_to(out, (shape[0], ky.shape[1], shape[2] // 2 + 1)))


def split_measured(
    volume: ArrayLike, angles: ArrayLike, *, mode: Literal["planes", "wedge"] = "wedge"
) -> tuple[Floats, Floats]:
    """Split a volume into the part that a tilt series at ``angles`` measured and the rest; the two add up to the volume.

    Parameters
    ----------
    volume
        Shape ``(nz, ny, nx)``, NumPy or torch.
    angles, mode
        As for ``measured_region``. The mean counts as measured.

    Returns
    -------
    present, missing
        Real, of the volume's shape.

    Raises
    ------
    InputError
        For a volume without three axes, values that are not finite, or angles that ``measured_region`` refuses.
    """
    a = to_numbers(volume, "volume")
    if a.ndim != 3:
        raise InputError(f"volumes need three axes (z, y, x), got shape {a.shape}")
    spectrum = fft.rfftn(a)
    spectrum[~measured_region(a.shape, angles, mode=mode)] = 0
    present: Floats = fft.irfftn(spectrum, a.shape)
    return present, a - present


def rfft_weights(nx: int) -> Floats:
    """Return the weight of each value of ``rfft`` of ``nx``: 2 with its conjugate, 1 for kx = 0 and Nyquist."""
    twice = np.full(nx // 2 + 1, 2.0)
    twice[0] = 1.0
    if nx % 2 == 0:
        twice[-1] = 1.0
    return twice


def frequencies(shape: tuple[int, ...]) -> tuple[Floats, Floats, Floats]:
    """Return kz, ky, kx of ``rfftn`` in cycles per voxel, in shapes that broadcast."""
    kz, ky, kx = (np.asarray(k, np.float64) for k in (*map(np.fft.fftfreq, shape[:2]), np.fft.rfftfreq(shape[2])))
    return kz[:, None, None], ky[None, :, None], kx[None, None, :]
