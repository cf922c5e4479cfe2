"""Resample raw images to aligned ones: once for each tilt, when it is read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tomoprior.storage.lazy import Box, LazyArray

# the types of SciPy's stubs leave out single precision
affine_transform: Any = ndimage.affine_transform
spline_filter: Any = ndimage.spline_filter

#: Order of the splines: cubic.
ORDER = 3
#: Distance in pixels within which a coordinate on the border of an image counts as inside.
BORDER = 1e-6


class ResampledTilts(LazyArray):
    """Aligned images, float32, shape ``(n, *shape)``; cubic splines interpolate each image when it is read.

    Beyond the field of view, the value of the nearest border pixel continues; ``edge_weights`` is zero there.

    Parameters
    ----------
    source
        Raw images, shape ``(n, rows, columns)``.
    matrices
        Matrices that take an aligned position to a raw one, shape ``(n, 2, 2)``.
    shifts
        ``(dy, dx)`` of each tilt in pixels, shape ``(n, 2)``.
    shape
        Rows and columns of the aligned images.
    """

    def __init__(
        self, source: LazyArray, matrices: NDArray[np.float64], shifts: NDArray[np.float64], shape: tuple[int, int]
    ) -> None:
        super().__init__(source.path, (source.shape[0], *shape), np.float32)
        self._source, self._matrices, self._shifts = source, matrices, shifts

    def _read(self, box: Box) -> NDArray[Any]:
        out = np.empty([s.stop - s.start for s in box], np.float32)
        for at, i in enumerate(range(box[0].start, box[0].stop)):  # only one tilt at a time is in memory
            out[at] = resample_image(spline_coefficients(self._source[i]), self._matrices[i], self._shifts[i], self.shape[1:])[
                box[1], box[2]
            ]
        return out


def spline_coefficients(image: NDArray[Any]) -> NDArray[np.float32]:
    """Return the coefficients of an image's cubic spline, for ``resample_image``."""
    return np.asarray(spline_filter(image, ORDER, mode="nearest"), np.float32)


def resample_image(
    coefficients: NDArray[np.float32], matrix: NDArray[np.float64], shift: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Return an image at its aligned place, from its spline coefficients."""
    offset = _offset(coefficients.shape, matrix, shift, shape)
    out = np.empty(shape, np.float32)
    affine_transform(coefficients, matrix, offset, output=out, order=ORDER, mode="nearest", prefilter=False)
    return out


def edge_weights(
    raw_shape: tuple[int, int],
    matrix: NDArray[np.float64],
    shift: NDArray[np.float64],
    shape: tuple[int, int],
    margin: float = 0.0,
) -> NDArray[np.float32]:
    """Return 1 where an aligned pixel lies within the raw image, at least ``margin`` pixels from its border, else 0."""
    offset = _offset(raw_shape, matrix, shift, shape)
    rows, columns = np.arange(shape[0])[:, None], np.arange(shape[1])
    inside = np.ones(shape, bool)
    for axis in (0, 1):
        at = matrix[axis, 0] * rows + matrix[axis, 1] * columns + offset[axis]
        inside &= (at >= margin - BORDER) & (at <= raw_shape[axis] - 1 - margin + BORDER)
    return inside.astype(np.float32)


def _offset(
    raw_shape: tuple[int, ...], matrix: NDArray[np.float64], shift: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the raw index of the aligned index (0, 0)."""
    raw_middle, middle = (np.array(raw_shape) - 1) / 2, (np.array(shape) - 1) / 2
    return np.asarray(raw_middle + matrix @ (shift - middle))
