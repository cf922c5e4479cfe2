"""Agreement of two volumes frequency by frequency: Fourier shell correlation, also by what was measured and what was not.

A single-axis tilt series measures, by the central-slice theorem, planes through the origin of Fourier space that contain the
tilt axis. Between them, and in the missing wedge, nothing was measured: what a volume holds there was inferred.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from tomoprior.errors import InputError
from tomoprior.geometry import MAX_ANGLE
from tomoprior.metrics._arrays import Floats, numbers, pair_3d


@dataclass(frozen=True, eq=False)
class FSC:
    """A Fourier shell correlation.

    Attributes
    ----------
    frequency
        Middle of each shell in cycles per voxel, from one shell above zero to the Nyquist frequency 0.5.
    correlation
        From -1 to 1; NaN where a shell has no Fourier voxel of the region, or no power.
    count
        Fourier voxels in each shell, conjugate pairs counted twice.
    """

    frequency: Floats
    correlation: Floats
    count: Floats

    def crossing(self, threshold: float = 0.5) -> float:
        """Frequency in cycles per voxel at which the curve first falls below ``threshold``, interpolated; 0.5 if it never does.

        NaN for a curve without any value: a region without Fourier voxels did not agree up to 0.5.

        Against a reference without error 0.5 is usual, between two independent halves of the data 0.143
        (Rosenthal and Henderson, J. Mol. Biol. 333 (2003) 721).
        """
        known = np.isfinite(self.correlation)
        f, c = self.frequency[known], self.correlation[known]
        if len(f) == 0:
            return float("nan")
        below = np.flatnonzero(c < threshold)
        if len(below) == 0:
            return 0.5
        i = int(below[0])
        if i == 0:
            return float(f[0])
        return float(f[i - 1] + (f[i] - f[i - 1]) * (c[i - 1] - threshold) / (c[i - 1] - c[i]))

    def mean(self, below: float = 0.5) -> float:
        """Mean of the correlation over shells up to ``below`` cycles per voxel."""
        chosen = self.correlation[self.frequency <= below + 1e-9]
        return float(np.nanmean(chosen)) if np.isfinite(chosen).any() else float("nan")


def fsc(volume: ArrayLike, reference: ArrayLike, *, region: NDArray[np.bool_] | None = None) -> FSC:
    """Fourier shell correlation of two volumes.

    ``Re sum F1 conj(F2) / sqrt(sum |F1|^2 sum |F2|^2)`` over shells one Fourier voxel of the longest axis thick (Harauz and van
    Heel, Optik 73 (1986) 146). Shells are spheres in cycles per voxel, so a volume need not be a cube. The mean is left out.

    Parameters
    ----------
    volume, reference
        Shape ``(nz, ny, nx)``, NumPy or torch.
    region
        Which Fourier voxels count, as ``measured_region`` gives it: shape of ``rfftn``.

    Raises
    ------
    InputError
        For shapes that differ, values that are not finite, or a volume of a single voxel.
    """
    a, b = pair_3d(volume, reference)
    size = max(a.shape)
    if size < 2:
        raise InputError("a single voxel has no frequencies")
    f1, f2 = (fft.rfftn(v) for v in (a, b))
    if region is not None and region.shape != f1.shape:
        raise InputError(f"the region needs shape {f1.shape}, got {region.shape}")
    shell = np.rint(np.sqrt(sum(k**2 for k in _frequencies(a.shape))) * size).astype(np.intp)
    weight = np.broadcast_to(rfft_weights(a.shape[-1]), f1.shape)
    if region is not None:
        weight = weight * region
    shells = size // 2

    def sums(values: Floats) -> Floats:
        return np.bincount(shell.ravel(), (values * weight).ravel(), shells + 1)[1 : shells + 1].astype(np.float64)

    cross = sums((f1 * f2.conj()).real)
    power = np.sqrt(sums(np.abs(f1) ** 2) * sums(np.abs(f2) ** 2))
    correlation = np.divide(cross, power, out=np.full(shells, np.nan), where=power > 0)
    return FSC(np.arange(1, shells + 1) / size, correlation, sums(np.ones(f1.shape)))


def directional_fsc(
    volume: ArrayLike, reference: ArrayLike, angles: ArrayLike, *, mode: Literal["planes", "wedge"] = "planes"
) -> dict[str, FSC]:
    """FSC of what was measured and of what was not: ``{"present": FSC, "missing": FSC}``.

    Van Veen et al., IJMS 25 (2024) 5473, section 4.4. Arguments as for ``fsc`` and ``measured_region``.
    """
    a, b = pair_3d(volume, reference)
    present = measured_region(a.shape, angles, mode=mode)
    return {"present": fsc(a, b, region=present), "missing": fsc(a, b, region=~present)}


def measured_region(
    shape: tuple[int, ...], angles: ArrayLike, *, mode: Literal["planes", "wedge"] = "planes"
) -> NDArray[np.bool_]:
    """Which voxels of ``rfftn`` of a volume of ``shape`` a tilt series at ``angles`` (radians) measured.

    ``planes``: those within half a Fourier voxel (of the longest axis) of a tilt's plane, so that the gaps between tilts at
    high frequencies count as missing. ``wedge``: all directions between the smallest and the largest angle.
    """
    theta = np.asarray(angles, np.float64)
    if theta.ndim != 1 or theta.size == 0 or not np.all(np.isfinite(theta)):
        raise InputError("angles need shape (n_angles,) with at least one, all finite")
    if np.abs(theta).max() > MAX_ANGLE:
        raise InputError(f"an angle of {np.abs(theta).max():.6g} radians is beyond 4 pi: are these degrees? Use numpy.deg2rad")
    kz, ky, kx = _frequencies(shape)
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
    """What a tilt series at ``angles`` measured of a volume, and what lies where no tilt looked: two volumes that add up to it.

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
        For a volume that has not three axes or values that are not finite, or angles as ``measured_region`` refuses them.
    """
    a = numbers(volume, "volume")
    if a.ndim != 3:
        raise InputError(f"volumes need three axes (z, y, x), got shape {a.shape}")
    spectrum = fft.rfftn(a)
    spectrum[~measured_region(a.shape, angles, mode=mode)] = 0
    present: Floats = fft.irfftn(spectrum, a.shape)
    return present, a - present


def rfft_weights(nx: int) -> Floats:
    """What each value of ``rfft`` of ``nx`` counts for: twice, with its conjugate, but once for kx = 0 and Nyquist."""
    twice = np.full(nx // 2 + 1, 2.0)
    twice[0] = 1.0
    if nx % 2 == 0:
        twice[-1] = 1.0
    return twice


def _frequencies(shape: tuple[int, ...]) -> tuple[Floats, Floats, Floats]:
    """kz, ky, kx of ``rfftn`` in cycles per voxel, to be broadcast."""
    kz, ky, kx = (np.asarray(k, np.float64) for k in (*map(np.fft.fftfreq, shape[:2]), np.fft.rfftfreq(shape[2])))
    return kz[:, None, None], ky[None, :, None], kx[None, None, :]
