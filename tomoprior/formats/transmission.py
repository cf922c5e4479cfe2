"""Line integrals from counts, computed for each region when it is read: flat and dark fields, then Beer and Lambert."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import InputError
from tomoprior.storage.lazy import Box, LazyArray

#: The median of transmissions is below this; counts, and images of brightness, are above.
MAX_TRANSMISSION = 2.0


class Transmission(LazyArray):
    """``(data - dark) / (flat - dark)`` of a lazy array, float32.

    A pixel whose flat field is not brighter than its dark field measures nothing, and is NaN.

    Parameters
    ----------
    source
        Counts ``[angle, y, u]``.
    fields
        Called once, when the first region is read: returns the mean dark and flat field, each of shape ``(ny, nu)``.
    """

    def __init__(self, source: LazyArray, fields: Callable[[], tuple[NDArray[Any], NDArray[Any]]]) -> None:
        super().__init__(source.path, source.shape, np.float32)
        self._source, self._fields = source, fields
        self._dark_and_gain: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    def _read(self, box: Box) -> NDArray[Any]:
        if self._dark_and_gain is None:
            dark, flat = self._fields()
            span = np.asarray(flat, np.float64) - dark
            with np.errstate(divide="ignore", invalid="ignore"):
                gain = np.where(span > 0, 1.0 / span, np.nan)
            self._dark_and_gain = np.asarray(dark, np.float32), gain.astype(np.float32)
        dark32, gain32 = (field[box[1], box[2]] for field in self._dark_and_gain)
        out: NDArray[Any] = (self._source.read(box).astype(np.float32) - dark32) * gain32
        return out


class MinusLog(LazyArray):
    """``-log`` of a lazy array, float32: line integrals from transmissions.

    A transmission of zero or less has no logarithm. It becomes NaN; the logarithm of some small number would invent the
    strongest absorption of the whole image. ``tomoprior.series.pixels`` counts and repairs such pixels.

    Raises
    ------
    InputError
        When a region is read whose values are no transmissions: their median is above ``MAX_TRANSMISSION``.
    """

    def __init__(self, source: LazyArray) -> None:
        super().__init__(source.path, source.shape, np.float32)
        self._source = source

    def _read(self, box: Box) -> NDArray[Any]:
        values = self._source.read(box).astype(np.float32)
        # a median takes longer than the logarithm: it is computed only if at least half of the values can exceed the limit
        if 2 * np.count_nonzero(values > MAX_TRANSMISSION) >= np.count_nonzero(np.isfinite(values)):
            self._check_median(values)
        out = np.full(values.shape, np.nan, np.float32)
        np.log(values, out=out, where=values > 0)  # a NaN compares as False and stays
        return np.negative(out, out=out)

    def _check_median(self, values: NDArray[np.float32]) -> None:
        finite = values[np.isfinite(values)]
        typical = float(np.median(finite)) if finite.size else 0.0
        if typical > MAX_TRANSMISSION:
            raise InputError(
                f"{self.path}: values with a median of {typical:.4g} are no transmissions, so their logarithm means nothing; "
                "give the brightness without specimen (--i0 auto or --i0 VALUE) or flat fields (--flats)"
            )
