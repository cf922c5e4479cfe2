"""Flat and dark fields: their means, and the transmissions of counts that they normalise."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import FormatError
from tomoprior.formats.transmission import Transmission
from tomoprior.storage.lazy import LazyArray

_FLAT = re.compile(
    r"(?<![a-z])(flats?|flat-?field|whites?|open-?beam|bright-?field|bkg|background|ref|references?|refhst|ob)(?![a-z])"
)
_DARK = re.compile(r"(?<![a-z])(darks?|dark-?field|darkend|dc)(?![a-z])")


def is_flat_name(name: str) -> bool:
    """Return whether the name of a file or an array says that it holds flat fields; groups before a slash do not matter."""
    return _FLAT.search(name.rsplit("/", 1)[-1].lower()) is not None


def is_dark_name(name: str) -> bool:
    """Return whether the name of a file or an array says that it holds dark fields."""
    return _DARK.search(name.rsplit("/", 1)[-1].lower()) is not None


class MeanFields:
    """The mean dark and flat field, read when the object is called; without dark fields the dark one is zero.

    Parameters
    ----------
    path
        Named in error messages.
    darks, flats
        Arrays of images ``[i, y, u]``; there may be no darks.
    """

    def __init__(self, path: Path, darks: Sequence[LazyArray], flats: Sequence[LazyArray]) -> None:
        self._path, self._darks, self._flats = path, darks, flats

    def __call__(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean dark and flat field, each of shape ``(ny, nu)``."""
        shape = self._flats[0].shape[1:]
        dark = mean_image(self._path, self._darks, shape) if self._darks else np.zeros(shape)
        return dark, mean_image(self._path, self._flats, shape)


def normalize(data: LazyArray, path: Path, flats: Sequence[LazyArray], darks: Sequence[LazyArray]) -> LazyArray:
    """Return transmissions from counts, computed when they are read.

    Parameters
    ----------
    data
        Counts, ``[angle, y, u]``.
    path
        Named in error messages.
    flats, darks
        Arrays of images ``[i, y, u]``; there may be no darks.

    Raises
    ------
    FormatError
        If the fields do not fit the images.
    """
    for field in (*flats, *darks):
        if field.shape[1:] != data.shape[1:]:
            raise FormatError(f"{path}: flat or dark fields of shape {field.shape[1:]} do not fit images of {data.shape[1:]}")
    return Transmission(data, MeanFields(path, darks, flats))


def mean_image(path: Path, sources: Sequence[LazyArray], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the mean over all images of some arrays, which are read one by one.

    Parameters
    ----------
    path
        Named in error messages.
    sources
        Arrays of images ``[i, y, u]``.
    shape
        ``(ny, nu)``, also the shape of the mean.
    """
    total, count = np.zeros(shape), 0
    for source in sources:
        for i in range(source.shape[0]):
            total += source[i]
            count += 1
    if not count:
        raise FormatError(f"{path}: no flat or dark field is left to take the mean of")
    return total / count
