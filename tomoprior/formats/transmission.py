"""From counts to line integrals, on whatever region is asked for: flat and dark fields, then Beer and Lambert."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.formats.base import Stack
from tomoprior.storage.lazy import Box, LazyArray, WrappedArray


class Transmission(LazyArray):
    """``(data - dark) / (flat - dark)`` of a lazy array, float32.

    A pixel whose flat field is not brighter than its dark field measures nothing, and is NaN.

    Parameters
    ----------
    source
        Counts ``[angle, y, u]``.
    fields
        Called once, when the first region is read: gives the mean dark and flat field, each of shape ``(ny, nu)``.
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

    A transmission of zero or less has no logarithm. It becomes NaN rather than the logarithm of some small number, which
    would be the strongest absorption of the whole image, made up; ``tomoprior.series.pixels`` counts and repairs such pixels.
    """

    def __init__(self, source: LazyArray) -> None:
        super().__init__(source.path, source.shape, np.float32)
        self._source = source

    def _read(self, box: Box) -> NDArray[Any]:
        values = self._source.read(box).astype(np.float32)
        out = np.full(values.shape, np.nan, np.float32)
        np.log(values, out=out, where=values > 0)  # a NaN compares as False and stays
        return np.negative(out, out=out)


def with_minus_log(stack: Stack, path: Path) -> Stack:
    """The same stack as line integrals: minus the natural logarithm of its values, taken when they are read."""
    source = stack.data if isinstance(stack.data, LazyArray) else WrappedArray(stack.data, path)
    return replace(stack, data=MinusLog(source), counts=False, attrs={**stack.attrs, "minus_log": True})
