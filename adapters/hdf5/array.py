"""Datasets of HDF5 files as lazy arrays."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import FormatError
from tomoprior.storage.lazy import Box, LazyArray

with suppress(ImportError):  # the codecs of most beamlines (LZ4, Blosc, bitshuffle); they register when it is imported
    import_module("hdf5plugin")


class HDF5Array(LazyArray):
    """A dataset, or some images of it. The file is open only while it is read: an open one would lock others out.

    Parameters
    ----------
    path, name
        File and dataset.
    shape, dtype
        Shape and type; a dataset of two axes has the shape ``(1, ny, nu)``.
    images
        Indices of the images, in rising order, shape ``(n,)``; by default all.
    """

    def __init__(
        self, path: Path, name: str, shape: tuple[int, int, int], dtype: Any, images: NDArray[np.intp] | None = None
    ) -> None:
        super().__init__(path, shape if images is None else (len(images), shape[1], shape[2]), dtype)
        self._name, self._images = name, images

    def _read(self, box: Box) -> NDArray[Any]:
        z, y, x = box
        with h5py.File(self.path, "r") as file:
            dataset = file[self._name]
            if dataset.ndim == 2:
                return np.asarray(dataset[y, x])[None]
            if self._images is None:
                return np.asarray(dataset[z, y, x])
            indices = self._images[z]
            first, last = int(indices[0]), int(indices[-1]) + 1
            if last - first == len(indices):
                return np.asarray(dataset[first:last, y, x])
            return np.stack([dataset[int(i), y, x] for i in indices])


class RescaledArray(LazyArray):
    """Values of an array that was packed into whole numbers, float32: ``(stored - offset) / scale``."""

    def __init__(self, source: LazyArray, scale: float, offset: float) -> None:
        super().__init__(source.path, source.shape, np.float32)
        self._source, self._scale, self._offset = source, scale, offset

    def _read(self, box: Box) -> NDArray[Any]:
        values = (self._source.read(box).astype(np.float64) - self._offset) / self._scale
        return values.astype(np.float32)


def check_filters(dataset: h5py.Dataset, path: Path) -> None:
    """Raise FormatError if the values are compressed by a filter that is not installed."""
    properties = dataset.id.get_create_plist()
    for i in range(properties.get_nfilters()):
        code, _, _, name = properties.get_filter(i)
        if not h5py.h5z.filter_avail(code):
            label = name.decode("utf-8", "replace") or f"number {code}"
            raise FormatError(f"{path}: compressed by the filter {label}, which is not installed: pip install hdf5plugin")
