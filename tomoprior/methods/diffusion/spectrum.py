"""The tissue's power spectrum, and the Gaussian prior that has it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len

#: Voxels of nothing between one period and the next along each axis: the covariance reaches no farther, nearly.
GAP = 12

#: Frequencies along y that the spectrum of a slice is summed over.
ACROSS = 64


@dataclass(frozen=True)
class Spectrum:
    """Power S of a stationary field against frequency, the same in all directions: a table, linear between logarithms.

    The integral of S over all frequencies of a grid is the variance of a voxel. Below the table S is as at its start, beyond it
    falls on as at its end.

    Attributes
    ----------
    k
        Frequencies in cycles per voxel, rising.
    power
        S at these, in units of value squared times voxels.
    voxel_size
        Edge of the voxel that k is counted in.
    """

    k: tuple[float, ...]
    power: tuple[float, ...]
    voxel_size: float

    def __call__(self, k2: torch.Tensor, voxel_size: float | None = None) -> torch.Tensor:
        """S at squared frequencies ``k2``, in cycles squared per voxel of ``voxel_size`` (by default the table's)."""
        ratio = 1.0 if voxel_size is None else self.voxel_size / voxel_size
        # the same density in smaller voxels: frequencies are lower, and more voxels share the same power
        x = 0.5 * torch.log(k2.double().clamp_min(1e-12)) + math.log(ratio)
        at, values = (torch.tensor(v, dtype=torch.float64, device=k2.device).log() for v in (self.k, self.power))
        return (interpolate_log(at, values, x).exp() * ratio**3).to(k2)

    @classmethod
    def fit(cls, blocks: Sequence[NDArray[np.float32]], voxel_size: float, bins: int = 20) -> Spectrum:
        """Radial means of the periodograms of windowed blocks, all of one shape, in ``bins`` shells of equal ratio."""
        shape = blocks[0].shape
        window = np.ones(shape)
        for axis, n in enumerate(shape):
            window *= np.hanning(n + 2)[1:-1].reshape([-1 if a == axis else 1 for a in range(3)])
        grids = np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij", sparse=True)
        radius = np.sqrt(sum(g**2 for g in grids))
        edges = np.geomspace(1.5 / min(shape), 0.75, bins + 1)
        which = np.digitize(radius.ravel(), edges) - 1
        good = (which >= 0) & (which < bins)
        total = np.zeros(bins)
        for block in blocks:
            flat = (block - np.average(block, weights=window)) * window
            power = np.abs(np.fft.fftn(flat)) ** 2 / np.sum(window**2)
            total += np.bincount(which[good], power.ravel()[good], bins)
        count = np.bincount(which[good], minlength=bins)
        weight = np.bincount(which[good], np.log(radius.ravel()[good]), bins)
        filled = count > 0
        k = np.exp(weight[filled] / count[filled])
        return cls(tuple(k.tolist()), tuple((total[filled] / count[filled] / len(blocks)).tolist()), float(voxel_size))


def interpolate_log(at: torch.Tensor, values: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Values of a rising table at ``x``, linear between its points: constant before the first, beyond the last on its slope."""
    above = torch.searchsorted(at, x.contiguous()).clamp(1, len(at) - 1)
    low, start = at[above - 1], values[above - 1]
    share = ((x - low) / (at[above] - low)).clamp_min(0.0)
    return start + share * (values[above] - start)


class GaussianPrior:
    """Zero-mean stationary Gaussian field with a spectrum on a grid: its covariance's square root and adjoint.

    ``root(z)`` of white noise ``z`` of shape ``inner`` is a sample on ``shape``; the covariance is ``root root_T``. The period
    is longer than the grid, so that opposite faces do not know of each other.

    Parameters
    ----------
    flat
        Slices know nothing of each other: each has the spectrum that a slice of the field has.
    """

    def __init__(
        self, shape: tuple[int, int, int], spectrum: Spectrum, voxel_size: float, device: torch.device, *, flat: bool = False
    ) -> None:
        self.shape, self._axes = shape, (-3, -1) if flat else (-3, -2, -1)
        self.inner = tuple(
            n if axis - 3 not in self._axes else next_fast_len(n + GAP, real=True) for axis, n in enumerate(shape)
        )
        z = torch.fft.fftfreq(self.inner[0], device=device)[:, None, None]
        y = torch.fft.fftfreq(ACROSS if flat else self.inner[1], device=device)[None, :, None]
        x = torch.fft.rfftfreq(self.inner[2], device=device)[None, None, :]
        power = spectrum(z**2 + y**2 + x**2, voxel_size)
        self._half = (power.mean(1, keepdim=True) if flat else power).sqrt()
        self._sizes = [self.inner[axis] for axis in self._axes]

    def root(self, z: torch.Tensor) -> torch.Tensor:
        """From ``(..., *inner)`` to ``(..., *shape)``."""
        nz, ny, nx = self.shape
        out: torch.Tensor = torch.fft.irfftn(torch.fft.rfftn(z, dim=self._axes) * self._half, self._sizes, self._axes)
        return out[..., :nz, :ny, :nx]

    def root_T(self, x: torch.Tensor) -> torch.Tensor:
        """The adjoint, from ``(..., *shape)`` to ``(..., *inner)``."""
        spread = torch.fft.rfftn(x, self._sizes, self._axes) * self._half
        out: torch.Tensor = torch.fft.irfftn(spread, self._sizes, self._axes)
        return out
