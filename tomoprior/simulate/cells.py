"""Simulated tissue: membranes, vesicles and mitochondria, in the grey values of a FIB-SEM volume.

It is no model of a real tissue. It has the features that make such volumes hard for tomography, in the sizes of neuropil: thin
membranes in all directions, crowded organelles, no empty background.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import cKDTree

from tomoprior.errors import InputError

#: Grey values: dark is dense, as in FIB-SEM of stained tissue.
CYTOPLASM, MEMBRANE, MATRIX, LUMEN, NOISE = 150.0, 55.0, 72.0, 180.0, 6.0
#: Standard deviations of the cytoplasm: between processes, and within one, over a tenth of a process and over grains.
BETWEEN, WITHIN, GRAINS = 17.0, 9.0, 13.0
#: Sizes in nanometres: width of processes, membranes (thicker than they are, as stain shows them), vesicles, mitochondria.
PROCESS, THICKNESS, VESICLE, MITOCHONDRION = 360.0, 28.0, 26.0, (130.0, 320.0)
#: Share of processes with vesicles, vesicles per cubic micrometre there, and mitochondria per cubic micrometre everywhere.
WITH_VESICLES, VESICLES, MITOCHONDRIA = 0.5, 900.0, 60.0


def cells(shape: tuple[int, int, int], voxel_size: float = 10.0, *, seed: int = 0) -> NDArray[np.uint8]:
    """Return the grey values of simulated tissue, dark where it is dense.

    Parameters
    ----------
    shape
        Grid ``(nz, ny, nx)``, at least 16 voxels along each axis.
    voxel_size
        Edge of a voxel in nanometres, up to 20: coarser voxels cannot show a membrane.
    seed
        The same seed gives the same tissue.

    Returns
    -------
    NDArray
        Shape ``shape``, uint8.

    Raises
    ------
    InputError
        For a volume that is too small, or voxels that are too large.

    Examples
    --------
    >>> grey = cells((16, 16, 16), 16.0, seed=1)
    >>> grey.shape, grey.dtype.name
    ((16, 16, 16), 'uint8')
    """
    if len(shape) != 3 or min(shape) < 16:
        raise InputError(f"simulated tissue needs at least 16 voxels along each axis, got {tuple(shape)}")
    if not 0 < voxel_size <= 20:
        raise InputError(f"simulated tissue needs voxels of up to 20 nanometres, got {voxel_size!r}")
    rng = np.random.default_rng(seed)
    owner, border = _assign_processes(shape, voxel_size, rng)
    brightness = np.clip(BETWEEN * rng.standard_normal((int(owner.max()) + 1,)), -40, 25)
    plain = CYTOPLASM + brightness[owner]
    plain += WITHIN * _smooth_noise(shape, 40 / voxel_size, rng) - GRAINS * np.abs(_smooth_noise(shape, 18 / voxel_size, rng))
    grey = np.where(border < THICKNESS / 2, MEMBRANE, plain)
    _draw_mitochondria(grey, border, voxel_size, rng)
    _draw_vesicles(grey, owner, border, voxel_size, rng)
    grey = gaussian_filter(grey, 10 / voxel_size) + NOISE * rng.standard_normal(shape)
    return np.clip(grey, 0, 255).round().astype(np.uint8)


def _assign_processes(shape: tuple[int, int, int], size: float, rng: Generator) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the process of each voxel, and the distance of the nearest membrane's middle in nanometres.

    Processes are the Voronoi cells of random points, each stretched along a random direction, in warped space.
    """
    extent = np.array(shape) * size
    margin = PROCESS
    count = max(8, int(np.prod(extent + 2 * margin) / (PROCESS**3 * 2.2)))
    points = rng.uniform(-margin, extent + margin, (count, 3))
    # several points in a row form one process, so that it is long
    steps = rng.standard_normal((count, 3))
    steps *= PROCESS * 0.75 / np.linalg.norm(steps, axis=1, keepdims=True)
    links = np.concatenate([points - steps, points, points + steps])
    label = np.tile(np.arange(count), 3)
    at = np.stack(np.meshgrid(*((np.arange(n) + 0.5) * size for n in shape), indexing="ij"), -1).astype(np.float32)
    for axis in range(3):
        at[..., axis] += 70 * _smooth_noise(shape, 140 / size, rng)
    distances, nearest = cKDTree(links).query(at.reshape(-1, 3), k=4, workers=-1)
    distance, owner = np.asarray(distances), label[np.asarray(nearest)]
    other = np.where(owner != owner[:, :1], distance, np.inf).min(1)
    # half of the difference of two distances is about the distance of their border
    border = np.where(np.isfinite(other), (other - distance[:, 0]) / 2, distance[:, -1])
    return owner[:, 0].reshape(shape), border.reshape(shape)


def _draw_mitochondria(grey: NDArray[np.float64], border: NDArray[np.float64], size: float, rng: Generator) -> None:
    """Draw dark ellipsoids with folds inside where a process is wide enough, in place."""
    shape = np.array(grey.shape)
    for _ in range(rng.poisson(MITOCHONDRIA * np.prod(shape * size / 1000))):
        middle = rng.uniform(0, shape)
        if border[tuple(middle.astype(int))] < 0.75 * MITOCHONDRION[0]:
            continue
        turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
        radii = np.array([*(MITOCHONDRION[0] * rng.uniform(0.7, 1.1, 2)), MITOCHONDRION[1] * rng.uniform(0.7, 1.2)])
        box, place = _local_box(middle, float(radii.max()) / size, grey.shape)
        along = (place * size) @ turn
        r = np.sqrt(((along / radii) ** 2).sum(-1))
        depth = (1 - r) * radii.min()  # nanometres below the surface, about
        folds = np.sin(along[..., 2] * math.pi / 50 + 1.5 * np.sin(along[..., 0] / 60))
        value = np.where(depth < THICKNESS / 2, MEMBRANE, MATRIX + 8 * folds)
        part = grey[box]
        part[...] = np.where((r < 1) & (border[box] > THICKNESS), value, part)


def _draw_vesicles(
    grey: NDArray[np.float64], owner: NDArray[np.intp], border: NDArray[np.float64], size: float, rng: Generator
) -> None:
    """Draw small spheres with a dark rim, crowded in some of the processes, in place."""
    shape = np.array(grey.shape)
    crowded = rng.random(int(owner.max()) + 1) < WITH_VESICLES
    untouched = grey > MATRIX + 25
    for _ in range(rng.poisson(VESICLES * np.prod(shape * size / 1000))):
        middle = rng.uniform(0, shape)
        voxel = tuple(middle.astype(int))
        if not crowded[owner[voxel]] or border[voxel] < VESICLE + THICKNESS or not untouched[voxel]:
            continue
        box, place = _local_box(middle, VESICLE * 1.3 / size, grey.shape)
        r = np.sqrt((place**2).sum(-1)) * size
        part = grey[box]
        part[...] = np.where(r < VESICLE - THICKNESS / 2, LUMEN, np.where(r < VESICLE + THICKNESS / 4, MEMBRANE + 10, part))


def _local_box(
    middle: NDArray[np.float64], reach: float, shape: tuple[int, ...]
) -> tuple[tuple[slice, ...], NDArray[np.float64]]:
    """Return the part of a grid around a place, and the positions in it relative to the place, ``(..., 3)`` in voxels."""
    box = tuple(slice(max(0, int(c - reach)), min(n, int(c + reach) + 2)) for c, n in zip(middle, shape, strict=True))
    axes = [np.arange(b.start, b.stop) + 0.5 - c for b, c in zip(box, middle, strict=True)]
    return box, np.stack(np.meshgrid(*axes, indexing="ij"), -1)


def _smooth_noise(shape: tuple[int, int, int], length: float, rng: Generator) -> NDArray[np.float64]:
    """Return smooth noise of standard deviation 1 that varies over ``length`` voxels, from an interpolated coarse grid."""
    step = max(1.0, length / 2)
    coarse = tuple(max(4, math.ceil(n / step) + 3) for n in shape)
    noise = gaussian_filter(rng.standard_normal(coarse), length / step, mode="wrap")
    noise /= noise.std()
    at = np.meshgrid(*(np.arange(n) / step + 1 for n in shape), indexing="ij", sparse=False)
    return np.asarray(map_coordinates(noise, at, order=1, mode="nearest"), np.float64)
