"""Projections of a scene: made on a finer grid with another kernel than reconstructions use, and then binned."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tomoprior.geometry import Geometry
from tomoprior.progress import Progress
from tomoprior.projector import Projector
from tomoprior.simulate.scene import Scene, slab_rows, voxel_means


def expose(
    scene: Scene, geometry: Geometry, supersample: int, *, rows: int | None = None, progress: Progress | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Projections and the volume that they belong to, both from the scene on voxels ``supersample`` times finer.

    Parameters
    ----------
    scene
        What is projected; its grid is the geometry's.
    geometry
        Where the rays run, shifts and all; one centre for all slices.
    rows
        Slices at once, as many as fit 64 MiB by default. The result does not depend on it.
    progress
        Called once a slab.

    Returns
    -------
    projections, volume
        Line integrals in units of the geometry's voxels, shape ``range_shape``: means over each pixel, of rays through the fine
        volume weighted by area (``strip``). And voxel means, shape ``(nz, ny, nx)``.
    """
    s = supersample
    nz, ny, nx = geometry.shape
    dy = None if geometry.shifts is None or not geometry.couples_slices else geometry.shifts[:, 0]
    # tilts that are shifted along y see rows beside the grid
    beside = 0 if dy is None else math.ceil(float(np.abs(dy).max())) + 1
    rows = min(rows or slab_rows(geometry.shape, s), ny + 2 * beside)
    projector = Projector(_fine(geometry, rows, s), "cpu", "strip")
    lines = np.empty((geometry.n_angles, (ny + 2 * beside) * s, geometry.detector[1]), np.float32)
    volume = np.empty(geometry.shape, np.float32)
    starts = range(-beside, ny + beside, rows)
    for step, start in enumerate(starts, 1):
        stop = min(start + rows, ny + beside)
        fine = np.zeros((nz * s, rows * s, nx * s), np.float32)
        fine[:, : (stop - start) * s] = scene.render(start, stop, s)
        first, last = max(start, 0), min(stop, ny)
        if first < last:
            volume[:, first:last] = voxel_means(fine[:, (first - start) * s : (last - start) * s], s)
        seen = projector(fine)[:, : (stop - start) * s]
        columns = seen.reshape(*seen.shape[:2], -1, s).mean(-1, dtype=np.float32)
        lines[:, (start + beside) * s : (stop + beside) * s] = columns / s  # a ray is s times longer in fine voxels
        if progress is not None:
            progress(step, len(starts), {})
    projections = np.empty(geometry.range_shape, np.float32)
    for i, image in enumerate(lines):
        if dy is not None:
            image = _moved(image, beside * s - float(dy[i]) * s, ny * s)
        projections[i] = image.reshape(ny, s, -1).mean(1)
    return projections, volume


def _fine(geometry: Geometry, rows: int, s: int) -> Geometry:
    """The same rays at a slab of ``rows`` slices whose voxels and pixels are ``s`` times finer; shifts along y left out."""
    nz, _, nx = geometry.shape
    return replace(
        geometry,
        shape=(nz * s, rows * s, nx * s),
        detector=(rows * s, geometry.detector[1] * s),
        center=np.full(rows * s, geometry.center[0] * s),
        shifts=None if geometry.shifts is None else geometry.shifts * [0, s],
    )


def _moved(image: NDArray[np.float32], offset: float, rows: int) -> NDArray[np.float32]:
    """``rows`` rows of ``image`` from row ``offset`` on, which need not be whole: linear between fine rows."""
    whole = math.floor(offset)
    part = np.float32(offset - whole)
    return (1 - part) * image[whole : whole + rows] + part * image[whole + 1 : whole + rows + 1]
