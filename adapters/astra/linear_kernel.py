"""The system matrix of ASTRA's ``linear`` kernel, built with NumPy.

ASTRA can export its matrix, but copies it element by element through Python: 1.6 s for 256 x 256 at 61 angles, of which
0.1 s is arithmetic. This module builds the same matrix in about a seventh of the time. It follows each ray in single
precision as ASTRA does, so that the entries agree with ASTRA's to rounding (a test compares them). In double precision,
projections of noise would differ from ASTRA's by 2e-5.

Joseph, IEEE Trans. Med. Imaging 1 (1982) 192: each ray is followed along its main axis; in every row (or column) of
pixels, its value is the linear interpolation between the two nearest pixels.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

F = np.float32


def build_matrix(vectors: NDArray[np.float64], nz: int, nx: int, nu: int, *, threads: int = 1) -> sparse.csr_matrix:
    """Return the system matrix of one slice.

    Parameters
    ----------
    vectors
        ASTRA's ``parallel_vec`` rows, shape ``(n_angles, 6)``.
    nz, nx, nu
        Rows and columns of the slice, pixels of the detector.
    threads
        Number of angles computed at the same time (NumPy releases the interpreter's lock).

    Returns
    -------
    csr_matrix
        float32 with int32 indices, shape ``(n_angles * nu, nz * nx)``.
    """
    with ThreadPoolExecutor(max(1, threads)) as pool:
        parts = list(pool.map(partial(_compute_angle, nz=nz, nx=nx, nu=nu), vectors))
    indptr = np.zeros(len(vectors) * nu + 1, np.int64)
    np.cumsum(np.concatenate([counts for counts, _, _ in parts]), out=indptr[1:])
    values = np.concatenate([v for _, _, v in parts])
    indices = np.concatenate([i for _, i, _ in parts])
    return sparse.csr_matrix((values, indices, indptr.astype(np.int32)), shape=(len(vectors) * nu, nz * nx))


def _compute_angle(vector: NDArray[np.float64], nz: int, nx: int, nu: int) -> tuple[NDArray[np.int64], ...]:
    """Return the number of entries per ray, their pixel indices and their weights, for one angle."""
    ray_x, ray_y, step_x, step_y = (F(vector[i]) for i in (0, 1, 4, 5))
    pixel = np.arange(nu, dtype=F) + F(0.5)
    dx = F(vector[2] - 0.5 * nu * vector[4]) + pixel * step_x
    dy = F(vector[3] - 0.5 * nu * vector[5]) + pixel * step_y
    first_x, first_y = F(0.5 - nx / 2), F(nz / 2 - 0.5)
    if abs(ray_x) < abs(ray_y):  # steep ray: one crossing per row
        slope, length = ray_x / ray_y, np.sqrt(ray_y * ray_y + ray_x * ray_x) / abs(ray_y)
        start = dx + (first_y - dy) * slope - first_x
        steps, limit, base, stride = nz, nx, np.arange(nz, dtype=np.int32) * nx, 1
    else:
        slope, length = ray_y / ray_x, np.sqrt(ray_y * ray_y + ray_x * ray_x) / abs(ray_x)
        start = -(dy + (first_x - dx) * slope - first_y)
        steps, limit, base, stride = nx, nz, np.arange(nx, dtype=np.int32), nx
    crossing = np.empty((nu, steps), F)
    crossing[:, 0] = start
    crossing[:, 1:] = -slope
    np.add.accumulate(crossing, axis=1, out=crossing)
    np.clip(crossing, -2, limit + 1, out=crossing)  # far outside does not fit an int32; just outside has the same result
    low = np.floor(crossing)
    fraction = crossing - low
    index = low.astype(np.int32)
    inside = np.stack([(index >= 0) & (index < limit), (index >= -1) & (index < limit - 1)], axis=-1)
    pixels = base + index * stride
    entries = np.stack([pixels, pixels + stride], axis=-1)[inside]
    weights = np.stack([(F(1) - fraction) * length, fraction * length], axis=-1)[inside]
    return inside.reshape(nu, -1).sum(1), entries, weights


def count_entries(vectors: NDArray[np.float64], nz: int, nx: int, nu: int) -> int:
    """Return an upper estimate of the number of entries, without the matrix: two per row or column that a ray crosses."""
    ray = np.abs(vectors[:, :2])
    along = ray.max(1)  # rays are a pixel apart on the detector, so 1 / along apart on a row
    vertical = ray[:, 0] < ray[:, 1]
    per_row = np.minimum(nu, np.where(vertical, nx, nz) * along + 1)
    return int(2 * np.sum(np.where(vertical, nz, nx) * per_row))
