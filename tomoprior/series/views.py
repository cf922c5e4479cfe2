"""Views of a tilt series that read when they are indexed: some of the tilts, larger pixels, or filtered images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.series.binning import block_mean
from tomoprior.storage.lazy import Box, LazyArray


class SelectedTilts(LazyArray):
    """Some images of a lazy array, in the order of ``index``."""

    def __init__(self, source: LazyArray, index: Sequence[int] | NDArray[np.intp]) -> None:
        super().__init__(source.path, (len(index), *source.shape[1:]), source.dtype)
        self._source, self._index = source, np.asarray(index, np.intp)

    def _read(self, box: Box) -> NDArray[Any]:
        index = self._index[box[0]]
        rising, order = np.unique(index, return_inverse=True)  # HDF5 reads rising indices only
        return np.asarray(self._source[rising, box[1], box[2]])[order]


class BinnedTilts(LazyArray):
    """Means over ``factor`` x ``factor`` pixels of each image, float32; rows and columns beyond a multiple are left out."""

    def __init__(self, source: LazyArray, factor: int) -> None:
        n, ny, nu = source.shape
        super().__init__(source.path, (n, ny // factor, nu // factor), np.float32)
        self._source, self._factor = source, factor

    def _read(self, box: Box) -> NDArray[Any]:
        f = self._factor
        out = np.empty([s.stop - s.start for s in box], np.float32)
        rows, columns = (slice(s.start * f, s.stop * f) for s in box[1:])
        for at, i in enumerate(range(box[0].start, box[0].stop)):  # the larger pixels of one tilt at a time
            out[at] = block_mean(self._source[i, rows, columns], (f, f))
        return out


class FilteredTilts(LazyArray):
    """Images of a lazy array passed through ``apply(image, i)``, float32. A read of some rows reads the whole image."""

    def __init__(self, source: LazyArray, apply: Callable[[NDArray[Any], int], NDArray[np.float32]]) -> None:
        super().__init__(source.path, source.shape, np.float32)
        self._source, self._apply = source, apply

    def _read(self, box: Box) -> NDArray[Any]:
        images = range(box[0].start, box[0].stop)
        return np.stack([self._apply(np.asarray(self._source[i]), i)[box[1], box[2]] for i in images])
