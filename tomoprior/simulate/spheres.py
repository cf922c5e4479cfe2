"""Hollow spheres: a phantom whose projections are known in closed form.

The projections are sums of chord lengths and use no projector, so that a reconstruction from them is free of the inverse crime.
Spheres are the first phantom of Van Veen et al., IJMS 25 (2024) 5473, section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.series.binning import block_mean


@dataclass(frozen=True)
class Spheres:
    """Hollow spheres in a slab.

    Attributes
    ----------
    centers
        ``(n, 3)``: Z, Y, X in voxels from the middle of the grid.
    outer, inner
        Radii in voxels, ``(n,)``.
    density
        Value per voxel of the walls, ``(n,)``.
    """

    centers: NDArray[np.float64]
    outer: NDArray[np.float64]
    inner: NDArray[np.float64]
    density: NDArray[np.float64]

    @classmethod
    def random(
        cls,
        shape: tuple[int, int, int],
        *,
        radius: tuple[float, float] | None = None,
        wall: float = 0.3,
        fill: float = 0.25,
        seed: int = 0,
    ) -> Spheres:
        """Return spheres that do not overlap, at random places of a grid.

        Parameters
        ----------
        shape
            Grid ``(nz, ny, nx)`` in voxels.
        radius
            Smallest and largest outer radius in voxels; by default from an eighth to two fifths of the thinnest side.
        wall
            Thickness of the wall as a fraction of the radius; 1 for full spheres.
        fill
            Fraction of the grid's volume that the spheres take up, as far as they can be placed.
        seed
            The same seed gives the same spheres.

        Raises
        ------
        InputError
            If spheres of these radii do not fit into the grid.

        Examples
        --------
        >>> spheres = Spheres.random((16, 16, 24), radius=(2, 4), seed=1)
        >>> spheres.volume((16, 16, 24)).shape
        (16, 16, 24)
        """
        sizes = np.array(shape, float)
        low, high = radius or (sizes.min() / 8, sizes.min() * 0.4)
        if not 0 < low <= high or 2 * low > sizes.min():
            raise InputError(f"spheres with radii from {low:g} to {high:g} voxels do not fit into a grid of {shape}")
        rng = np.random.default_rng(seed)
        centers: list[NDArray[np.float64]] = []
        radii: list[float] = []
        target, taken = fill * sizes.prod(), 0.0
        for _ in range(20000):
            if taken >= target:
                break
            r = float(np.clip(rng.uniform(low, high), None, sizes.min() / 2))
            c = rng.uniform(-1, 1, 3) * (sizes / 2 - r)
            if all(np.linalg.norm(c - o) > r + q + 1 for o, q in zip(centers, radii, strict=True)):
                centers.append(c)
                radii.append(r)
                taken += 4 / 3 * np.pi * r**3
        outer = np.array(radii)
        return cls(np.array(centers).reshape(-1, 3), outer, outer * (1 - wall), np.ones(len(outer)))

    def volume(self, shape: tuple[int, int, int], supersample: int = 3) -> NDArray[np.float32]:
        """Return the phantom on a grid: the mean of each voxel.

        Parameters
        ----------
        shape
            Grid ``(nz, ny, nx)`` in voxels, with the spheres' centres counted from its middle.
        supersample
            Points along each edge of a voxel, ``supersample ** 3`` in all, over which the mean is taken.

        Returns
        -------
        numpy.ndarray
            float32, shape ``(nz, ny, nx)``, values per voxel.
        """
        out = np.zeros(shape, np.float32)
        axes = [_sample_positions(n, supersample) for n in shape]
        for c, outer, inner, density in zip(self.centers, self.outer, self.inner, self.density, strict=True):
            # only the box around the sphere, a whole number of voxels
            box = [
                slice(max(0, int(m + n / 2 - outer - 1)), min(n, int(m + n / 2 + outer + 2)))
                for m, n in zip(c, shape, strict=True)
            ]
            z, y, x = (axis[b].reshape(-1) - m for axis, b, m in zip(axes, box, c, strict=True))
            squared = z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2
            inside = ((squared <= outer**2) & (squared > inner**2)).astype(np.float32)
            out[tuple(box)] += density * block_mean(inside, (supersample,) * 3)
        return out

    def project(self, geometry: Geometry, supersample: int = 3) -> NDArray[np.float32]:
        """Return exact line integrals through the spheres, averaged over each pixel.

        Parameters
        ----------
        geometry
            Angles, detector, centre and shifts of a parallel beam.
        supersample
            Points along each edge of a pixel, ``supersample ** 2`` in all, over which the mean is taken.

        Returns
        -------
        numpy.ndarray
            float32, shape ``geometry.range_shape``, in voxel units.
        """
        _, ny, nu = geometry.range_shape
        s = supersample
        out = np.zeros(geometry.range_shape, np.float32)
        y, inside = _sample_positions(ny, s), (np.arange(s) + 0.5) / s - 0.5
        reach = self.outer + 1
        for i, angle in enumerate(geometry.angles):
            dy, dx = (0.0, 0.0) if geometry.shifts is None else geometry.shifts[i]
            # row y shows slice y - dy, and the axis lies at its place in that slice
            center = np.interp(np.arange(ny) - dy, np.arange(ny), geometry.center) + dx - 0.5
            at = self.centers[:, 2] * np.cos(angle) - self.centers[:, 0] * np.sin(angle)
            rows = _index_ranges(self.centers[:, 1] + dy + (ny - 1) / 2, reach, ny)
            columns = _index_ranges(at + center.mean(), reach + np.ptp(center), nu)
            total = np.zeros((ny, s, nu, s))
            for k, (row, column) in enumerate(zip(rows, columns, strict=True)):
                u = np.arange(nu)[None, column, None] - center[row, None, None] + inside - at[k]
                squared = (y[row] - dy - self.centers[k, 1])[:, :, None, None] ** 2 + u[:, None] ** 2
                for radius, sign in ((self.outer[k], 2), (self.inner[k], -2)):
                    total[row, :, column] += sign * self.density[k] * np.sqrt(np.clip(radius**2 - squared, 0, None))
            out[i] = total.mean((1, 3))
        return out


def _index_ranges(middle: NDArray[np.float64], reach: NDArray[np.float64], n: int) -> list[slice]:
    """Return for each sphere the indices along an axis of ``n`` that it can touch."""
    low = np.clip(np.floor(middle - reach), 0, n).astype(int)
    high = np.clip(np.ceil(middle + reach) + 1, 0, n).astype(int)
    return [slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True)]


def _sample_positions(n: int, s: int) -> NDArray[np.float64]:
    """Return sample positions along an axis of ``n`` voxels, shape ``(n, s)``, from its middle."""
    return np.arange(n)[:, None] - (n - 1) / 2 + ((np.arange(s) + 0.5) / s - 0.5)[None, :]
