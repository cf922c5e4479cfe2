"""Replacement values for bad pixels, and lazy arrays with the replacements."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tomoprior.storage.lazy import Box, LazyArray

#: Pixels read beyond a region, so that the bad pixels in it can be filled.
MARGIN = 16
#: Radius of the largest window for a median. Further inside a hole, the nearest finite pixel is used.
_MAX_RADIUS = 4


class PatchedArray(LazyArray):
    """A lazy array with some of its values replaced.

    Parameters
    ----------
    source
        The original array.
    where, values
        Indices ``(tilt, y, u)`` in rising order of tilt, shape ``(k, 3)``, and the values there, shape ``(k,)``.
    """

    def __init__(self, source: LazyArray, where: NDArray[np.intp], values: NDArray[Any]) -> None:
        super().__init__(source.path, source.shape, source.dtype)
        self._source, self._where, self._values = source, where, values

    def _read(self, box: Box) -> NDArray[Any]:
        block = np.array(self._source.read(box), self.dtype)
        first, last = np.searchsorted(self._where[:, 0], [box[0].start, box[0].stop])
        where, values = self._where[first:last], self._values[first:last]
        inside = np.ones(len(where), bool)
        for axis, s in enumerate(box):
            inside &= (where[:, axis] >= s.start) & (where[:, axis] < s.stop)
        at = where[inside] - [s.start for s in box]
        block[at[:, 0], at[:, 1], at[:, 2]] = values[inside]
        return block


class RepairedArray(LazyArray):
    """A lazy array that fills pixels that are not finite when it reads them, from their neighbours in the same tilt.

    It reads nothing in advance, for series too large to be read twice. Values come from at most ``MARGIN`` pixels beyond the
    region; a tilt without a finite pixel there stays unchanged.
    """

    def __init__(self, source: LazyArray) -> None:
        super().__init__(source.path, source.shape, source.dtype)
        self._source = source

    def _read(self, box: Box) -> NDArray[Any]:
        grown = [slice(max(0, s.start - MARGIN), min(n, s.stop + MARGIN)) for s, n in zip(box[1:], self.shape[1:], strict=True)]
        block = np.array(self._source.read((box[0], grown[0], grown[1])), self.dtype)
        if self.dtype.kind == "f":
            for image in block:
                bad = ~np.isfinite(image)
                if bad.any() and not bad.all():
                    rows, columns = np.nonzero(bad)
                    image[rows, columns] = fill_pixels(image, rows, columns)
        y, x = (slice(s.start - g.start, s.stop - g.start) for s, g in zip(box[1:], grown, strict=True))
        return block[:, y, x]


def fill_pixels(image: NDArray[Any], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[Any]:
    """Return values for the bad pixels of an image: the median of at least three finite neighbours, or the nearest one.

    Parameters
    ----------
    image
        Shape ``(ny, nu)``, with NaN or infinity at the bad pixels and at least one finite value.
    rows, columns
        Indices of the bad pixels, shape ``(k,)``.

    Returns
    -------
    values
        Shape ``(k,)``.
    """
    out = np.full(len(rows), np.nan, image.dtype)
    clean = np.where(np.isfinite(image), image, np.nan)
    for radius in range(1, _MAX_RADIUS + 1):
        missing = np.flatnonzero(np.isnan(out))
        if not len(missing):
            return out
        padded = np.pad(clean, radius, constant_values=np.nan)
        side = np.arange(2 * radius + 1)
        for part in np.array_split(missing, max(1, len(missing) * len(side) ** 2 // 10_000_000)):
            y, x = rows[part, None, None] + side[:, None], columns[part, None, None] + side
            windows = padded[y, x].reshape(len(part), -1)
            enough = np.count_nonzero(np.isfinite(windows), axis=1) >= min(3, np.count_nonzero(np.isfinite(clean)))
            if enough.any():
                out[part[enough]] = np.nanmedian(windows[enough], axis=1)
    missing = np.flatnonzero(np.isnan(out))
    if len(missing):
        nearest = ndimage.distance_transform_edt(np.isnan(clean), return_distances=False, return_indices=True)
        y, x = nearest[0][rows[missing], columns[missing]], nearest[1][rows[missing], columns[missing]]
        out[missing] = clean[y, x]
    return out
