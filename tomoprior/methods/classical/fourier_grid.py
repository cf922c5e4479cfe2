"""The Fourier grid of a slice: where the samples of the projections lie on it, their weights, and the way back to voxels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, sparse

from tomoprior.geometry import Geometry

#: Share of the largest weight below which a cell counts as empty: what the far tail of a Gaussian brings is the value of the
#: cell's neighbours, not its own.
LEAST_WEIGHT = 1e-3

Floats = NDArray[np.float32]


def choose_grid_size(geometry: Geometry, oversampling: float) -> int:
    """Return the edge of the Fourier grid: that of slice and detector, padded by ``oversampling`` for a fast transform."""
    nz, _, nx = geometry.shape
    return int(fft.next_fast_len(math.ceil(oversampling * max(nz, nx, geometry.detector[1])) + 1))


class FourierGrid:
    """The half ``kx >= 0`` of a slice's Fourier plane, ``size x (size // 2 + 1)`` cells: the slices are real.

    A tilt's transform is a line through the origin. Its half that points to ``kx < 0`` is the complex conjugate of the other,
    so that only the frequencies of ``rfft`` are placed, turned to ``kx >= 0``.

    Parameters
    ----------
    geometry
        Geometry of the slices; the angles place the samples.
    size
        Cells along an edge of the whole plane.
    width
        Standard deviation of the Gaussian around a sample, cells.
    tilt_weights
        Weights of the tilts, ``(n_angles,)``; cells that only tilts of weight zero reach stay empty.
    """

    def __init__(self, geometry: Geometry, size: int, width: float, tilt_weights: Floats | None = None) -> None:
        self.size, self.columns = size, size // 2 + 1
        self.shape = geometry.shape[0], geometry.shape[2]
        self.turned = np.cos(geometry.angles) < 0
        cells, weights = self._place_samples(geometry, width)
        least = LEAST_WEIGHT * float(weights.max())
        if tilt_weights is None:
            total = self._sum(cells, weights)
            known = total > least
        else:
            known = self._sum(cells, weights * (tilt_weights > 0)[:, None, None]) > least
            weights *= (tilt_weights / tilt_weights.max())[:, None, None]
            total = self._sum(cells, weights)
        scale = np.zeros(known.shape, np.float32)
        np.divide(1, total, out=scale, where=known)
        # a phase moves the centre of the slice to sample 0 of the transforms
        nz, nx = self.shape
        along_z = np.exp(-1j * math.pi * (nz - 1) * np.fft.fftfreq(size))
        along_x = np.exp(-1j * math.pi * (nx - 1) * np.fft.rfftfreq(size))
        self._factor = scale * along_z.astype(np.complex64)[:, None]
        self._factor *= along_x.astype(np.complex64)
        # column j spreads sample j over its four cells
        ends = np.arange(0, cells.size + 1, 4, dtype=cells.dtype)
        shape = (size * self.columns, cells.size // 4)
        self._spread: Any = sparse.csc_matrix((weights.reshape(-1), cells.reshape(-1), ends), shape=shape)

    def invert(self, spectrum: NDArray[np.complex64]) -> Floats:
        """Return a slice ``(nz, nx)`` from the transforms of its projections.

        Parameters
        ----------
        spectrum
            Transforms ``rfft`` of the projections with the axis at sample 0, ``(n_angles, columns)``; it is changed.
        """
        np.negative(spectrum.imag, out=spectrum.imag, where=self.turned[:, None])
        plane = (self._spread @ spectrum.view(np.float32).reshape(-1, 2)).view(np.complex64).reshape(self.size, self.columns)
        _complete(plane)
        plane *= self._factor
        nz, nx = self.shape
        along_z = fft.ifft(plane, axis=0, overwrite_x=True)[:nz]
        return np.asarray(fft.irfft(along_z, n=self.size, axis=1)[:, :nx])

    def _place_samples(self, geometry: Geometry, width: float) -> tuple[NDArray[np.int32], Floats]:
        """Return the four cells around every sample, flat indices ``(n_angles, columns, 4)``, and their Gaussian weights."""
        size, columns = self.size, self.columns
        k = np.arange(columns, dtype=np.float64)
        theta = geometry.angles[:, None]
        kx, kz = k * np.abs(np.cos(theta)), -k * np.where(self.turned[:, None], -1, 1) * np.sin(theta)
        low_x, low_z = np.floor(kx), np.floor(kz)
        # the middle frequency is its own mirror image, and so is the last one of an even size: half of it is on either side
        own = np.where((k == 0) | (2 * k == size), 0.5, 1.0)
        wx, wz = ([np.exp((f - i) ** 2 / (-2 * width**2)).astype(np.float32) for i in (0, 1)] for f in (kx - low_x, kz - low_z))
        cx, cz = low_x.astype(np.int32), low_z.astype(np.int32) % size
        cells = np.empty((*kx.shape, 4), np.int32)
        weights = np.empty((*kx.shape, 4), np.float32)
        for corner, (i, j) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
            inside = cx + j < columns
            cells[..., corner] = (cz + i) % size * columns + np.where(inside, cx + j, 0)
            weights[..., corner] = wz[i] * wx[j] * np.where(inside, own, 0)
        return cells, weights

    def _sum(self, cells: NDArray[np.int32], weights: Floats) -> Floats:
        """Return the sum of the weights in each cell, ``(size, columns)``."""
        total = np.zeros(self.size * self.columns, np.float32)
        for corner in range(4):  # one at a time: bincount takes copies of eight bytes a value
            total += np.bincount(cells[..., corner].reshape(-1), weights[..., corner].reshape(-1), len(total))
        plane = total.reshape(self.size, self.columns)
        _complete(plane)
        return plane


def _complete(plane: NDArray[Any]) -> None:
    """Add to the column ``kx = 0`` what the half of the plane with ``kx < 0`` brings: its own mirror image, conjugated."""
    first = plane[:, 0]
    first[...] = first + np.conj(np.roll(first[::-1], 1))
