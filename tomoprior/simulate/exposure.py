"""Projections of a scene, computed on a finer grid and with another kernel than reconstructions use, then binned."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tomoprior.geometry import Geometry
from tomoprior.progress import Progress
from tomoprior.projector import Projector
from tomoprior.series.binning import block_mean
from tomoprior.simulate.scene import Scene, slab_rows


def project_scene(
    scene: Scene, geometry: Geometry, supersample: int, *, rows: int | None = None, progress: Progress | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the projections of a scene and its volume, both from voxels ``supersample`` times finer.

    Parameters
    ----------
    scene
        The scene to project; its grid is the geometry's.
    geometry
        The true rays, including shifts; one centre for all slices.
    rows
        Number of slices at once; by default as many as fit into 64 MiB. The result does not depend on it.
    progress
        Called once per slab.

    Returns
    -------
    projections, volume
        Line integrals in units of the geometry's voxels, shape ``range_shape``: means over each pixel of rays through the fine
        volume, weighted by area (``strip``). The voxel means, shape ``(nz, ny, nx)``.
    """
    s = supersample
    nz, ny, nx = geometry.shape
    dy = None if geometry.shifts is None or not geometry.couples_slices else geometry.shifts[:, 0]
    # tilts that are shifted along y see rows outside the grid
    margin = 0 if dy is None else math.ceil(float(np.abs(dy).max())) + 1
    rows = min(rows or slab_rows(geometry.shape, s), ny + 2 * margin)
    projector = Projector(_fine_geometry(geometry, rows, s), "cpu", "strip")
    lines = np.empty((geometry.n_angles, (ny + 2 * margin) * s, geometry.detector[1]), np.float32)
    volume = np.empty(geometry.shape, np.float32)
    starts = range(-margin, ny + margin, rows)
    for step, start in enumerate(starts, 1):
        stop = min(start + rows, ny + margin)
        fine = np.zeros((nz * s, rows * s, nx * s), np.float32)
        fine[:, : (stop - start) * s] = scene.render(start, stop, s)
        first, last = max(start, 0), min(stop, ny)
        if first < last:
            volume[:, first:last] = block_mean(fine[:, (first - start) * s : (last - start) * s], (s, s, s))
        lines_fine = projector(fine)[:, : (stop - start) * s]
        columns = lines_fine.reshape(*lines_fine.shape[:2], -1, s).mean(-1, dtype=np.float32)
        lines[:, (start + margin) * s : (stop + margin) * s] = columns / s  # a ray is s times longer in fine voxels
        if progress is not None:
            progress(step, len(starts), {})
    projections = np.empty(geometry.range_shape, np.float32)
    for i, image in enumerate(lines):
        if dy is not None:
            image = _shift_rows(image, margin * s - float(dy[i]) * s, ny * s)
        projections[i] = image.reshape(ny, s, -1).mean(1)
    return projections, volume


def _fine_geometry(geometry: Geometry, rows: int, s: int) -> Geometry:
    """Return the rays of a slab of ``rows`` slices with voxels and pixels ``s`` times finer, without shifts along y."""
    nz, _, nx = geometry.shape
    return replace(
        geometry,
        shape=(nz * s, rows * s, nx * s),
        detector=(rows * s, geometry.detector[1] * s),
        center=np.full(rows * s, geometry.center[0] * s),
        shifts=None if geometry.shifts is None else geometry.shifts * [0, s],
    )


def _shift_rows(image: NDArray[np.float32], offset: float, rows: int) -> NDArray[np.float32]:
    """Return ``rows`` rows of ``image`` from row ``offset``, which may be fractional: linear between fine rows."""
    whole = math.floor(offset)
    part = np.float32(offset - whole)
    return (1 - part) * image[whole : whole + rows] + part * image[whole + 1 : whole + rows + 1]
