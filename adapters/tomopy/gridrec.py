"""TomoPy's gridrec on the grid of a geometry: padded, back in place, and on the scale of line integrals.

gridrec samples its image at whole voxels from the axis, one row before and one column behind the middle of its grid; it takes
a detector for one turn of a circle, so that an object wraps around unless the detector is padded; it counts every tilt as
``pi / n`` radians; and its values are too large by a constant. All four were measured with TomoPy 1.15.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.geometry import Geometry
from tomoprior.methods.classical.angular import compute_angular_weights

#: Width of the padded detector in those of detector and grid: what wraps around is then below one percent.
PADDING = 4
#: Values of gridrec over those of the object: 1.122 to 1.126 for smooth objects, whatever their size.
SCALE = 1.123


def padded_width(geometry: Geometry) -> int:
    """Return the even number of columns to which gridrec's detector is padded, and the edge of its grid."""
    nz, _, nx = geometry.shape
    return 2 * -(-PADDING * max(nz, nx, geometry.detector[1]) // 2)


def block_memory(geometry: Geometry, ncore: int | None) -> int:
    """Return the bytes of the slices that run at a time: padded rows, images, gridrec's own grid for each core, a spectrum."""
    width = padded_width(geometry)
    transformed = 1 << (width - 1).bit_length()
    cores = _cores(ncore)
    return 2 * cores * 4 * (2 * geometry.n_angles * width + width**2) + cores * 16 * transformed**2 + 32 * width**2


def run_gridrec(
    recon: Callable[..., Any],
    projections: NDArray[np.float32],
    geometry: Geometry,
    *,
    filter_name: str,
    ncore: int | None,
) -> NDArray[np.float32]:
    """Return the volume ``(nz, ny, nx)`` of ``tomopy.recon``'s gridrec.

    Parameters
    ----------
    recon
        ``tomopy.recon``.
    projections
        Shape ``(n_angles, ny, nu)``. Columns beyond the detector repeat its last one, as in ``wbp``.
    """
    width = padded_width(geometry)
    left = (width - geometry.detector[1]) // 2
    share = compute_angular_weights(geometry.angles) * (geometry.n_angles / np.pi)
    weights = (share / SCALE).astype(np.float32)[:, None, None]
    volume = np.empty(geometry.shape, np.float32)
    for part in _blocks(geometry.shape[1], 2 * _cores(ncore)):  # gridrec takes two slices at a time
        rows = projections[:, part] * weights
        padded = np.pad(rows, ((0, 0), (0, 0), (left, width - geometry.detector[1] - left)), mode="edge")
        slices = recon(
            padded, geometry.angles, center=geometry.center[part] + left - 0.5, sinogram_order=False, algorithm="gridrec",
            filter_name=filter_name, ncore=ncore, num_gridx=width, num_gridy=width,
        )  # fmt: skip
        nz, _, nx = geometry.shape
        for y, image in zip(range(part.start, part.stop), slices, strict=True):
            volume[:, y] = _samples(_samples(image, width // 2 - 1, nz).T, width // 2, nx).T
    return volume


def _samples(image: NDArray[np.float32], axis: int, n: int) -> NDArray[np.float32]:
    """Return ``n`` rows of an image around its row number ``axis``: between two rows, by Fourier's series, if ``n`` is even."""
    first = axis - n // 2
    if n % 2:
        return image[first : first + n]
    spectrum = np.fft.rfft(image, axis=0)
    half = np.exp(1j * np.pi * np.arange(len(spectrum)) / len(image))[:, None]
    return np.asarray(np.fft.irfft(spectrum * half, len(image), axis=0)[first : first + n], np.float32)


def _cores(ncore: int | None) -> int:
    return ncore or os.cpu_count() or 1


def _blocks(n: int, size: int) -> Iterator[slice]:
    for first in range(0, n, size):
        yield slice(first, min(first + size, n))
