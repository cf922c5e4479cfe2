"""A scene: a phantom placed in a grid, whose rows can be rendered at any fineness.

A scene is rendered slab by slab along y, so that a fine volume is never in memory as a whole. A row comes out the same in any
slab.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from tomoprior.series.binning import block_mean

#: The low-pass reaches this many standard deviations.
TRUNCATE = 4.0


class Scene(ABC):
    """A phantom placed in one grid by one seed.

    Parameters
    ----------
    shape
        Grid ``(nz, ny, nx)`` in voxels.
    sigma
        Standard deviation of the Gaussian low-pass, in voxels of the grid.
    voxel_size, unit
        Edge of a voxel, and its unit.
    facts
        Facts about the placed objects for the record: numbers and lists only.

    Notes
    -----
    Positions are ``(Z, Y, X)`` in voxels from the middle of the grid, as in ``tomoprior.geometry``. Matter outside the grid in
    x and z is cut off. Along y a scene may extend beyond the grid; only tilts that are shifted along y see it.
    """

    def __init__(
        self, shape: tuple[int, int, int], sigma: float, voxel_size: float, unit: str, facts: Mapping[str, Any] | None = None
    ) -> None:
        self.shape, self.sigma = shape, sigma
        self.voxel_size, self.unit = voxel_size, unit
        self.facts = dict(facts or {})

    @abstractmethod
    def paint(self, start: int, stop: int, supersample: int) -> NDArray[np.float32]:
        """Return rows ``start <= y < stop`` before the low-pass, on voxels ``supersample`` times finer along every axis.

        Parameters
        ----------
        start, stop
            Rows in voxels of the grid. They may lie outside it, because the low-pass reaches beyond a slab.
        supersample
            Fine voxels along each edge of a voxel.

        Returns
        -------
        numpy.ndarray
            float32, shape ``(nz * s, (stop - start) * s, nx * s)`` with s for ``supersample``, values per voxel.
        """

    def fine_sigma(self, supersample: int) -> float:
        """Return the standard deviation of the blur that ``paint`` leaves to do, in fine voxels."""
        return self.sigma * supersample

    def render(self, start: int, stop: int, supersample: int) -> NDArray[np.float32]:
        """Return rows ``start <= y < stop`` after the low-pass, shape ``(nz * s, (stop - start) * s, nx * s)``.

        Parameters
        ----------
        start, stop
            Rows in voxels of the grid.
        supersample
            Fine voxels along each edge of a voxel, s.
        """
        sigma = self.fine_sigma(supersample)
        if sigma <= 0:
            return self.paint(start, stop, supersample)
        # rows that the Gaussian reaches into: the result does not depend on where the slab was cut
        halo = math.ceil((TRUNCATE * sigma + 0.5) / supersample)
        wide = self.paint(start - halo, stop + halo, supersample)
        blurred = gaussian_filter(wide, sigma, mode="constant", truncate=TRUNCATE)
        return blurred[:, halo * supersample : -halo * supersample]

    def volume(self, supersample: int = 2) -> NDArray[np.float32]:
        """Return the voxel means, float32, shape ``(nz, ny, nx)``.

        Parameters
        ----------
        supersample
            Fine voxels along each edge of a voxel, over which the mean is taken.
        """
        rows = slab_rows(self.shape, supersample)
        slabs = [
            block_mean(self.render(start, min(start + rows, self.shape[1]), supersample), (supersample,) * 3)
            for start in range(0, self.shape[1], rows)
        ]
        return np.concatenate(slabs, axis=1)


#: Voxels of a fine slab: 64 MiB of float32.
SLAB = 2**24


def slab_rows(shape: tuple[int, int, int], supersample: int) -> int:
    """Return the number of rows to render at once: at least eight, because every slab also renders the halo of the low-pass."""
    nz, ny, nx = shape
    return min(ny, max(8, SLAB // (nz * nx * supersample**3)))


def fine_positions(n: int, s: int, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
    """Return the positions of fine voxels along an axis of ``n`` voxels, for the voxels ``start <= i < stop``.

    They are in voxels from the middle of the axis, ``s`` for each voxel.
    """
    index = np.arange(start * s, (n if stop is None else stop) * s)
    return ((index + 0.5) / s - n / 2).astype(np.float32)
