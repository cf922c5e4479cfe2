"""Find first shifts: by the correlation of neighbours with cosine stretching, and by centres of mass."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform
from skimage import registration

correlate: Any = registration.phase_cross_correlation  # scikit-image has no types

#: Subdivision of a pixel in the correlation.
UPSAMPLING = 4


def correlate_neighbours(images: NDArray[np.float32], angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return shifts ``(dy, dx)`` in pixels, shape ``(n, 2)``, from the correlation of neighbours.

    The shifts between neighbours are added up, from the least tilted image outwards.

    A neighbour at the higher tilt is stretched across the axis by the ratio of the cosines, so that a flat specimen looks the
    same in both.

    Parameters
    ----------
    images
        Images with the tilt axis along y, band-passed, shape ``(n, ny, nu)``.
    angles
        Radians, shape ``(n,)``, in any order.
    """
    order = np.argsort(angles, kind="stable")
    start = int(np.argmin(np.abs(angles[order])))
    shifts = np.zeros((len(angles), 2))
    window = np.outer(np.hanning(images.shape[1] + 2)[1:-1], np.hanning(images.shape[2] + 2)[1:-1]).astype(np.float32)
    for path in (range(start, len(order) - 1), range(start, 0, -1)):
        for place in path:
            i, j = order[place], order[place + (1 if place >= start and path.step > 0 else -1)]
            factor = _stretch(angles[i], angles[j])
            moved = _stretched(images[j], factor)
            back, _, _ = correlate(window * images[i], window * moved, upsample_factor=UPSAMPLING, normalization=None)
            shifts[j] = shifts[i] - back * [1, 1 / factor]
    return shifts


def find_centres_of_mass(images: NDArray[np.float32], shifts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shifts with ``dx`` replaced by the centre of mass of each image, for an isolated specimen.

    The centre of mass of a specimen within the field moves by ``X cos(theta) - Z sin(theta)``, which only gives the place of
    the volume. Any other movement is a shift.

    Parameters
    ----------
    images
        Images with the tilt axis along y and without background, shape ``(n, ny, nu)``.
    shifts
        Earlier shifts, pixels, shape ``(n, 2)``.
    """
    profiles = np.maximum(images.sum(axis=1, dtype=np.float64), 0)
    columns = np.arange(images.shape[2]) - (images.shape[2] - 1) / 2
    masses = np.maximum(profiles.sum(axis=1), 1e-30)
    return np.stack([shifts[:, 0], profiles @ columns / masses], -1)


def _stretch(reference: float, angle: float) -> float:
    """Return the factor that brings the width of an image at ``angle`` to that at ``reference``; at most 2."""
    return float(np.clip(np.cos(reference) / max(abs(np.cos(angle)), 1e-6), 0.5, 2.0))


def _stretched(image: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    middle = (image.shape[1] - 1) / 2
    return np.asarray(affine_transform(image, [1, 1 / factor], [0, middle - middle / factor], order=1, mode="nearest"))
