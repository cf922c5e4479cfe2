"""A phantom that has been placed in a grid: any of its rows, rendered as finely as asked.

A scene is rendered slab by slab along y, so that a fine volume never stands in memory whole, and the same rows come out
whatever slab they are part of.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

#: The low-pass reaches this many standard deviations.
TRUNCATE = 4.0


class Scene(ABC):
    """What a phantom makes for one grid and one seed.

    Parameters
    ----------
    shape
        Grid ``(nz, ny, nx)`` in voxels.
    sigma
        Standard deviation of the Gaussian low-pass, in voxels of the grid.
    voxel_size, unit
        Edge of a voxel.
    facts
        What was placed, for the record: numbers and lists only.

    Notes
    -----
    Positions are ``(Z, Y, X)`` in voxels from the middle of the grid, as in ``tomoprior.geometry``. What lies beside the grid
    in x and z is cut off; along y a scene may go on beyond it, which only tilts that are shifted along y see.
    """

    def __init__(
        self, shape: tuple[int, int, int], sigma: float, voxel_size: float, unit: str, facts: Mapping[str, Any] | None = None
    ) -> None:
        self.shape, self.sigma = shape, sigma
        self.voxel_size, self.unit = voxel_size, unit
        self.facts = dict(facts or {})

    @abstractmethod
    def paint(self, start: int, stop: int, supersample: int) -> NDArray[np.float32]:
        """Rows ``start <= y < stop`` before the low-pass, on voxels ``supersample`` times finer along every axis."""

    def fine_sigma(self, supersample: int) -> float:
        """Standard deviation of what is left to blur after ``paint``, in fine voxels."""
        return self.sigma * supersample

    def render(self, start: int, stop: int, supersample: int) -> NDArray[np.float32]:
        """Rows ``start <= y < stop`` as they are, shape ``(nz * s, (stop - start) * s, nx * s)``."""
        sigma = self.fine_sigma(supersample)
        if sigma <= 0:
            return self.paint(start, stop, supersample)
        # rows that the Gaussian reaches into, so that a slab does not know where it was cut
        halo = math.ceil((TRUNCATE * sigma + 0.5) / supersample)
        wide = self.paint(start - halo, stop + halo, supersample)
        blurred = gaussian_filter(wide, sigma, mode="constant", truncate=TRUNCATE)
        return blurred[:, halo * supersample : -halo * supersample]

    def volume(self, supersample: int = 2) -> NDArray[np.float32]:
        """Voxel means, shape ``(nz, ny, nx)``."""
        rows = slab_rows(self.shape, supersample)
        slabs = [
            voxel_means(self.render(start, min(start + rows, self.shape[1]), supersample), supersample)
            for start in range(0, self.shape[1], rows)
        ]
        return np.concatenate(slabs, axis=1)


#: Voxels of a fine slab: 64 MiB of float32.
SLAB = 2**24


def slab_rows(shape: tuple[int, int, int], supersample: int) -> int:
    """How many rows to render at once; at least eight, since every slab renders the low-pass's halo besides."""
    nz, ny, nx = shape
    return min(ny, max(8, SLAB // (nz * nx * supersample**3)))


def voxel_means(fine: NDArray[np.float32], s: int) -> NDArray[np.float32]:
    """Means over ``s``^3 fine voxels."""
    z, y, x = (n // s for n in fine.shape)
    return np.asarray(fine.reshape(z, s, y, s, x, s).mean(axis=(1, 3, 5), dtype=np.float32))


def positions(n: int, s: int, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
    """Fine positions along an axis of ``n`` voxels, in voxels from its middle, for the voxels ``start <= i < stop``."""
    index = np.arange(start * s, (n if stop is None else stop) * s)
    return ((index + 0.5) / s - n / 2).astype(np.float32)
