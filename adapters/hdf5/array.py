"""Datasets of HDF5 files as lazy arrays, and their flat and dark fields."""

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

with suppress(ImportError):  # the codecs of most beamlines (LZ4, Blosc, bitshuffle); it registers them when it is imported
    import_module("hdf5plugin")


class HDF5Array(LazyArray):
    """A dataset, or some images of it. The file is open only while it is read: an open one would lock others out.

    Parameters
    ----------
    path, name
        File and dataset.
    shape, dtype
        Of the dataset.
    images
        Which images, in rising order, shape ``(n,)``; by default all.
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
            if self._images is None:
                return np.asarray(dataset[z, y, x])
            chosen = self._images[z]
            first, last = int(chosen[0]), int(chosen[-1]) + 1
            if last - first == len(chosen):
                return np.asarray(dataset[first:last, y, x])
            return np.stack([dataset[int(i), y, x] for i in chosen])


def check_filters(dataset: h5py.Dataset, path: Path) -> None:
    """Raise FormatError if the values are compressed by something that is not installed."""
    properties = dataset.id.get_create_plist()
    for i in range(properties.get_nfilters()):
        code, _, _, name = properties.get_filter(i)
        if not h5py.h5z.filter_avail(code):
            called = name.decode("utf-8", "replace") or f"number {code}"
            raise FormatError(f"{path}: compressed by the filter {called}, which is not installed: pip install hdf5plugin")


def mean_image(path: Path, sources: list[LazyArray], shape: tuple[int, int]) -> NDArray[np.float64]:
    """The mean over all images of some arrays, shape ``(ny, nu)``, read one by one."""
    total, count = np.zeros(shape), 0
    for source in sources:
        for i in range(source.shape[0]):
            total += source[i]
            count += 1
    if not count:
        raise FormatError(f"{path}: no flat or dark field is left to take the mean of")
    return total / count


class Fields:
    """The mean dark and flat field of a file, read when it is called; without dark fields the dark one is zero."""

    def __init__(self, path: Path, darks: list[LazyArray], flats: list[LazyArray]) -> None:
        self._path, self._darks, self._flats = path, darks, flats

    def __call__(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean dark and flat field; zero where there are no darks."""
        shape = self._flats[0].shape[1:]
        dark = mean_image(self._path, self._darks, shape) if self._darks else np.zeros(shape)
        return dark, mean_image(self._path, self._flats, shape)
