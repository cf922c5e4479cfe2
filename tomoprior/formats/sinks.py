"""The common part of all sinks: regions are checked, converted and counted before a format writes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tomoprior.errors import InputError
from tomoprior.storage.moments import merge_moments


class Statistics:
    """Minimum, maximum, mean and standard deviation of values that arrive in pieces; non-finite values are ignored."""

    def __init__(self) -> None:
        self.count = 0
        self.minimum, self.maximum = np.inf, -np.inf
        self.mean, self._squares = 0.0, 0.0

    def add(self, values: NDArray[Any]) -> None:
        """Add the values of an array of any shape."""
        for part in values if values.ndim > 2 else (values,):  # image by image: the float64 copies stay small
            finite = part[np.isfinite(part)].astype(np.float64)
            if not finite.size:
                continue
            self.minimum = min(self.minimum, float(finite.min()))
            self.maximum = max(self.maximum, float(finite.max()))
            mean = float(finite.mean())
            squares = float(np.square(finite - mean).sum())
            self.count, self.mean, self._squares = merge_moments(
                self.count, self.mean, self._squares, finite.size, mean, squares
            )

    @property
    def std(self) -> float:
        """Standard deviation about the mean."""
        return float(np.sqrt(self._squares / self.count)) if self.count else 0.0


class RegionSink(ABC):
    """Base class for the sink of a format or of a plug-in.

    A subclass implements ``_write`` and ``_finish``. Every region is checked against the shape and converted to ``dtype`` if
    nothing but precision is lost; ``missing`` counts the rows that were not written.

    Parameters
    ----------
    shape
        ``(nz, ny, nx)`` of the whole array.
    dtype
        Type of the values in the file.
    again
        Regions may be written again: another process began the output, and this sink does not know which rows it has.
    """

    def __init__(self, shape: tuple[int, int, int], dtype: DTypeLike, *, again: bool = False) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.again = again
        self._written = np.zeros(shape[:2], bool)
        self._closed = False

    @property
    def missing(self) -> int:
        """Number of rows ``(z, y)`` that were not written through this sink."""
        return int(self._written.size - np.count_nonzero(self._written))

    def __setitem__(self, region: tuple[slice, slice, slice], values: NDArray[Any]) -> None:
        if self._closed:
            raise InputError("the output is closed: nothing more can be written to it")
        z0, z1, y0, y1 = self._bounds(region)
        values = np.asarray(values)
        expected = (z1 - z0, y1 - y0, self.shape[2])
        if values.shape != expected:
            raise InputError(f"a region of shape {expected} cannot take values of shape {values.shape}")
        if not np.can_cast(values.dtype, self.dtype, "same_kind"):
            raise InputError(f"values of type {values.dtype} do not fit an output of type {self.dtype}")
        if not self.again and self._written[z0:z1, y0:y1].any():
            raise InputError(f"slices {z0}..{z1}, rows {y0}..{y1} of the output are already written, at least in part")
        if not values.size:
            return
        with np.errstate(over="ignore"):  # a larger number becomes infinity in float32
            self._write(z0, z1, y0, y1, np.ascontiguousarray(values, dtype=self.dtype))
        self._written[z0:z1, y0:y1] = True

    def close(self) -> None:
        """Finish the file. A second call does nothing."""
        if not self._closed:
            self._closed = True
            self._finish()

    @abstractmethod
    def _write(self, z0: int, z1: int, y0: int, y1: int, values: NDArray[Any]) -> None:
        """Write contiguous ``values`` of ``dtype`` at ``[z0:z1, y0:y1, :]``."""

    @abstractmethod
    def _finish(self) -> None:
        """Complete and close the file and free all resources, even if rows are missing or a write failed."""

    def _bounds(self, region: Any) -> tuple[int, int, int, int]:
        if not (isinstance(region, tuple) and len(region) == 3 and all(isinstance(s, slice) for s in region)):
            raise InputError("an output is written by regions [z0:z1, y0:y1, :]")
        ranges = [s.indices(n) for s, n in zip(region, self.shape, strict=True)]
        for s, (start, stop, step) in zip(region, ranges, strict=True):
            if step != 1 or start > stop:  # a stop beyond the end is cut, as in NumPy; the shape of the values is checked later
                raise InputError(f"region {s.start}:{s.stop}:{s.step} is not inside an output of shape {self.shape}")
        if ranges[2][:2] != (0, self.shape[2]):
            raise InputError("a region of an output spans the whole of x")
        return ranges[0][0], ranges[0][1], ranges[1][0], ranges[1][1]
