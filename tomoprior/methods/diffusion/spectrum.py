"""The tissue's power spectrum, and the Gaussian prior with this spectrum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len

#: Empty voxels between one period and the next along each axis; at this distance the covariance is nearly zero.
PERIOD_GAP = 12

#: Number of frequencies along y over which the spectrum of a slice is summed.
N_Y_FREQUENCIES = 64


@dataclass(frozen=True)
class Spectrum:
    """Isotropic power spectrum S of a stationary field: a table over frequency, interpolated linearly in logarithms.

    The integral of S over all frequencies of a grid is the variance of a voxel. Below the table S is constant; beyond it S
    falls with the table's last slope.

    Attributes
    ----------
    k
        Frequencies in cycles per voxel, rising.
    power
        S at these frequencies, in units of value squared times voxels.
    voxel_size
        Edge of the voxel that is the unit of k.
    """

    k: tuple[float, ...]
    power: tuple[float, ...]
    voxel_size: float

    def __call__(self, k2: torch.Tensor, voxel_size: float | None = None) -> torch.Tensor:
        """Return S at squared frequencies ``k2``, in squared cycles per voxel of ``voxel_size`` (by default the table's)."""
        ratio = 1.0 if voxel_size is None else self.voxel_size / voxel_size
        # the same density in smaller voxels: frequencies are lower, and more voxels share the same power
        x = 0.5 * torch.log(k2.double().clamp_min(1e-12)) + math.log(ratio)
        points, values = (torch.tensor(v, dtype=torch.float64, device=k2.device).log() for v in (self.k, self.power))
        return (interpolate_table(points, values, x).exp() * ratio**3).to(k2)

    @classmethod
    def fit(cls, blocks: Sequence[NDArray[np.float32]], voxel_size: float, bins: int = 20) -> Spectrum:
        """Return the radial means of the periodograms of windowed blocks of one shape, in ``bins`` shells of equal ratio."""
        shape = blocks[0].shape
        window = np.ones(shape)
        for axis, n in enumerate(shape):
            window *= np.hanning(n + 2)[1:-1].reshape([-1 if a == axis else 1 for a in range(3)])
        grids = np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij", sparse=True)
        radius = np.sqrt(sum(g**2 for g in grids))
        edges = np.geomspace(1.5 / min(shape), 0.75, bins + 1)
        shell = np.digitize(radius.ravel(), edges) - 1
        used = (shell >= 0) & (shell < bins)
        total = np.zeros(bins)
        for block in blocks:
            flat = (block - np.average(block, weights=window)) * window
            power = np.abs(np.fft.fftn(flat)) ** 2 / np.sum(window**2)
            total += np.bincount(shell[used], power.ravel()[used], bins)
        count = np.bincount(shell[used], minlength=bins)
        log_k = np.bincount(shell[used], np.log(radius.ravel()[used]), bins)
        filled = count > 0
        k = np.exp(log_k[filled] / count[filled])
        return cls(tuple(k.tolist()), tuple((total[filled] / count[filled] / len(blocks)).tolist()), float(voxel_size))


def interpolate_table(points: torch.Tensor, values: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Interpolate a table of rising ``points`` linearly at ``x``.

    The result is constant before the first point, and has the last slope beyond the last point.
    """
    above = torch.searchsorted(points, x.contiguous()).clamp(1, len(points) - 1)
    low, start = points[above - 1], values[above - 1]
    share = ((x - low) / (points[above] - low)).clamp_min(0.0)
    return start + share * (values[above] - start)


class GaussianPrior:
    """Zero-mean stationary Gaussian field with a spectrum on a grid: the square root of its covariance, and the adjoint.

    ``root(z)`` of white noise ``z`` of shape ``inner`` is a sample on ``shape``; the covariance is ``root root_T``. The period
    is longer than the grid, so that opposite faces are uncorrelated.

    Parameters
    ----------
    flat
        Slices are independent; each has the spectrum of a slice of the field.
    """

    def __init__(
        self, shape: tuple[int, int, int], spectrum: Spectrum, voxel_size: float, device: torch.device, *, flat: bool = False
    ) -> None:
        self.shape, self._axes = shape, (-3, -1) if flat else (-3, -2, -1)
        self.inner = tuple(
            n if axis - 3 not in self._axes else next_fast_len(n + PERIOD_GAP, real=True) for axis, n in enumerate(shape)
        )
        z = torch.fft.fftfreq(self.inner[0], device=device)[:, None, None]
        y = torch.fft.fftfreq(N_Y_FREQUENCIES if flat else self.inner[1], device=device)[None, :, None]
        x = torch.fft.rfftfreq(self.inner[2], device=device)[None, None, :]
        power = spectrum(z**2 + y**2 + x**2, voxel_size)
        self._root_power = (power.mean(1, keepdim=True) if flat else power).sqrt()
        self._sizes = [self.inner[axis] for axis in self._axes]

    def root(self, z: torch.Tensor) -> torch.Tensor:
        """Apply the square root of the covariance: ``(..., *inner)`` to ``(..., *shape)``."""
        nz, ny, nx = self.shape
        out: torch.Tensor = torch.fft.irfftn(torch.fft.rfftn(z, dim=self._axes) * self._root_power, self._sizes, self._axes)
        return out[..., :nz, :ny, :nx]

    def root_T(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the adjoint of ``root``: ``(..., *shape)`` to ``(..., *inner)``."""
        filtered = torch.fft.rfftn(x, self._sizes, self._axes) * self._root_power
        out: torch.Tensor = torch.fft.irfftn(filtered, self._sizes, self._axes)
        return out
