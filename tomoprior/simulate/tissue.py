"""Stained tissue from the grey values of a volume such as FIB-SEM: density, and blocks of it in any orientation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from tomoprior.errors import InputError
from tomoprior.series.binning import block_mean
from tomoprior.units import UNITS

#: Percent of the grey values at either end that may lie beyond density 0 and 1: charging, holes, gold.
TAILS = 0.5

#: Voxels of a volume that are processed together, 64 MiB as float32.
SLAB = 2**24

#: How often at most a block is mirrored at the volume's faces.
MAX_MIRRORS = 2


@dataclass(frozen=True, eq=False)
class Tissue:
    """A volume of grey values read as stain density.

    Density is 0 at the grey value of least stain and 1 at that of most stain, linear between them, and clipped. Both values lie
    ``TAILS`` percent from the ends of the histogram.

    Attributes
    ----------
    grey
        ``(z, y, x)``, any array of real numbers; a memory map is read block by block.
    voxel_size, unit
        Edge of its cubic voxels, and the unit.
    least, most
        Grey values of density 0 and 1.
    """

    grey: Any
    voxel_size: float
    unit: str
    least: float
    most: float

    @classmethod
    def of(cls, grey: Any, voxel_size: float, unit: str = "nanometer", *, bright_is_dense: bool = False) -> Tissue:
        """Return tissue whose two grey values are measured on every fourth voxel along each axis.

        Parameters
        ----------
        grey
            Volume ``(z, y, x)`` of real numbers, at least 8 voxels along each axis.
        voxel_size, unit
            Edge of its cubic voxels, and the unit.
        bright_is_dense
            True if large grey values mean much stain.

        Raises
        ------
        InputError
            If ``grey`` is no volume of real numbers, has values that are not finite, or one value throughout.
        """
        if getattr(grey, "ndim", 0) != 3 or min(grey.shape) < 8:
            raise InputError(
                f"tissue needs a volume of at least 8 voxels along each axis, got shape {getattr(grey, 'shape', ())}"
            )
        if not (math.isfinite(voxel_size) and voxel_size > 0):
            raise InputError(f"the voxel size must be a positive number, got {voxel_size!r}")
        if unit not in UNITS:
            raise InputError(f"unit must be one of {', '.join(UNITS)}, got {unit!r}")
        if np.dtype(grey.dtype).kind not in "fiu":
            raise InputError(f"grey values must be real numbers, got dtype {grey.dtype}")
        sample = np.asarray(grey[::4, ::4, ::4], dtype=np.float64)
        if not np.all(np.isfinite(sample)):
            raise InputError("the volume holds values that are not finite")
        low, high = (float(v) for v in np.percentile(sample, [TAILS, 100 - TAILS]))
        if not high > low:
            raise InputError(f"nearly the whole volume has one grey value ({low:g}): it shows no tissue")
        least, most = (low, high) if bright_is_dense else (high, low)
        return cls(grey, float(voxel_size), unit, least, most)

    def density(self, grey: NDArray[Any]) -> NDArray[np.float32]:
        """Return the stain density of grey values, 0 to 1; raise InputError if one is not a number."""
        scaled = grey.astype(np.float32)
        scaled -= np.float32(self.least)
        scaled /= np.float32(self.most - self.least)
        np.clip(scaled, 0, 1, out=scaled)
        if not math.isfinite(float(scaled.sum())):  # infinite ones are clipped, as all beyond the tails
            raise InputError("the volume holds values that are not numbers")
        return scaled

    def block(self, shape: tuple[int, int, int], spacing: float, rng: Generator | None = None) -> NDArray[np.float32]:
        """Return the density on a grid of ``shape`` whose voxels are ``spacing`` of this volume's.

        Parameters
        ----------
        shape
            Grid ``(nz, ny, nx)`` in voxels.
        spacing
            Edge of a voxel of the grid, in voxels of this volume.
        rng
            Draws the place and one of the 48 orientations (axes in any order, any flipped). Without it the block is cut from
            the middle, in the volume's orientation. A block larger than the volume continues as its mirror image.

        Returns
        -------
        NDArray
            Density from 0 to 1, shape ``shape``, float32.
        """
        order, flips, factor, pieces = self.place(shape, spacing, rng)
        rest = spacing / factor
        box = self._means(pieces, order, factor)
        box = box[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
        if abs(rest - 1) > 1e-6:
            for axis, n in enumerate(shape):
                box = _resample(box, axis, n, rest)
        return np.ascontiguousarray(box[: shape[0], : shape[1], : shape[2]], dtype=np.float32)

    def place(
        self, shape: tuple[int, int, int], spacing: float, rng: Generator | None = None
    ) -> tuple[tuple[int, ...], tuple[bool, ...], int, list[NDArray[np.intp]]]:
        """Return the place that ``block`` cuts.

        Returns
        -------
        order, flips
            The volume's axis for each axis of the block, and whether it runs backwards.
        factor
            Number of voxels along each axis that are averaged before interpolation.
        pieces
            The volume's positions along each axis of the block.

        Raises
        ------
        InputError
            If the block is more than the volume can fill by mirroring.
        """
        if not spacing > 0:
            raise InputError(f"spacing must be positive, got {spacing}")
        order = (0, 1, 2) if rng is None else tuple(int(i) for i in rng.permutation(3))
        flips = (False,) * 3 if rng is None else tuple(bool(b) for b in rng.integers(0, 2, 3))
        factor = max(1, math.floor(spacing + 1e-6))  # means over whole voxels first: interpolation alone would alias
        rest = spacing / factor
        pieces = []
        sizes = [math.ceil(n * rest - 1e-6) * factor for n in shape]
        for axis, size in zip(order, sizes, strict=True):
            length = self.grey.shape[axis]
            if size > length * (1 + MAX_MIRRORS):
                raise InputError(
                    f"a block of {size} of the tissue's voxels is more than a volume of {length} can fill by mirroring: take a "
                    "smaller grid, voxel size or tilt range"
                )
            room = length - size
            start = (room // 2 if rng is None else int(rng.integers(0, room + 1))) if room >= 0 else room // 2
            pieces.append(_mirror_indices(np.arange(start, start + size), length))
        return order, flips, factor, pieces

    def _means(self, pieces: list[NDArray[np.intp]], order: tuple[int, ...], factor: int) -> NDArray[np.float32]:
        """Return the density at the product of ``pieces``, as block means; axis i is the volume's ``order[i]``."""
        source = sorted(range(3), key=lambda i: order[i])
        box = np.empty([len(piece) // factor for piece in pieces], np.float32)
        along = source[0]  # slabs go along the volume's first axis, as files are read
        step = max(1, SLAB * box.shape[along] // (box.size * factor**3))
        for first in range(0, box.shape[along], step):
            slab = list(pieces)
            slab[along] = pieces[along][first * factor : (first + step) * factor]
            part = self.density(_read_product(self.grey, [slab[i] for i in source])).transpose(order)
            box[(slice(None),) * along + (slice(first, first + step),)] = block_mean(part, (factor,) * 3)
        return box


def cut_section(
    density: NDArray[np.float32],
    thickness: float,
    roughness: float,
    length: float,
    gradient: float,
    rng: Generator,
) -> NDArray[np.float32]:
    """Return the block cut to a section with rough faces; outside it is vacuum of density 0.

    Parameters
    ----------
    thickness
        Mean thickness as a share of the block's height.
    roughness, length
        Standard deviation of each face and the distance over which it varies, in voxels.
    gradient
        Additional stain at one face relative to the middle, as a share: stain enters from the faces.
    """
    nz, ny, nx = density.shape
    half = thickness * nz / 2
    # the middle lies anywhere in the grid that leaves room for both rough faces
    room = max(0.0, nz / 2 - half - 2 * roughness)
    middle = nz / 2 + room * float(rng.uniform(-1, 1))
    low = middle - half + _rough_face(rng, (ny, nx), roughness, length)
    high = middle + half + _rough_face(rng, (ny, nx), roughness, length)
    cut = np.empty_like(density)
    for k in range(nz):  # plane by plane: the shares of all voxels would take as much memory as the block
        z = np.float32(k + 0.5)
        inside = np.clip(z - low + 0.5, 0, 1) * np.clip(high - z + 0.5, 0, 1)
        stain = 1 + np.float32(gradient) * (z - np.float32(middle)) / np.float32(half)
        cut[k] = density[k] * inside * stain
    return cut


def add_beads(density: NDArray[np.float32], count: int, radius: float, weight: float, rng: Generator) -> None:
    """Add ``count`` gold beads of ``radius`` voxels and density ``weight`` at random places of the block, in place."""
    nz, ny, nx = density.shape
    reach = math.ceil(radius)
    for _ in range(count):
        at = [int(rng.integers(0, n)) for n in (nz, ny, nx)]
        box = tuple(slice(max(0, c - reach), min(n, c + reach + 1)) for c, n in zip(at, density.shape, strict=True))
        z, y, x = np.ogrid[box]
        inside = (z - at[0]) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2 <= radius**2
        density[box] = np.where(inside, np.float32(weight), density[box])


def _rough_face(rng: Generator, shape: tuple[int, int], roughness: float, length: float) -> NDArray[np.float32]:
    noise = rng.standard_normal(shape, dtype=np.float32)
    if roughness == 0:
        return np.zeros(shape, np.float32)
    # variation over more than the block is no roughness
    smooth = gaussian_filter(noise, min(length, min(shape) / 4), mode="wrap")
    smooth -= smooth.mean()  # the mean would move the face by many times its roughness where few waves fit into the block
    std = float(smooth.std())
    return np.asarray(smooth * (roughness / std if std > 0 else 0.0), dtype=np.float32)


def _resample(box: NDArray[np.float32], axis: int, n: int, spacing: float) -> NDArray[np.float32]:
    """Return ``n`` voxels of ``spacing`` along an axis, from the outer face of the first; linear between voxel centres."""
    at = (np.arange(n) + 0.5) * spacing - 0.5
    low = np.floor(at).astype(np.intp)
    share = (at - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(3)])
    last = box.shape[axis] - 1
    below, above = (np.clip(i, 0, last) for i in (low, low + 1))
    out = np.empty([n if i == axis else m for i, m in enumerate(box.shape)], np.float32)
    for k in range(len(out)):
        if axis == 0:
            a, b, part = box[below[k]], box[above[k]], share[k]
        else:
            a, b, part = np.take(box[k], below, axis - 1), np.take(box[k], above, axis - 1), share[0]
        out[k] = a + part * (b - a)
    return out


def _mirror_indices(index: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Return positions on an axis that continues as its mirror image beyond both ends."""
    folded = np.mod(index, 2 * length)
    return np.where(folded < length, folded, 2 * length - 1 - folded)


def _read_product(array: Any, index: list[NDArray[np.intp]]) -> NDArray[Any]:
    """Return the outer product of index arrays, from any array that takes slices."""
    bounds = [(int(i.min()), int(i.max()) + 1) for i in index]
    box = np.asarray(array[tuple(slice(low, high) for low, high in bounds)])
    for axis, (i, (low, high)) in enumerate(zip(index, bounds, strict=True)):
        if len(i) != high - low or np.any(i != np.arange(low, high)):
            box = np.take(box, i - low, axis=axis)
    return box
