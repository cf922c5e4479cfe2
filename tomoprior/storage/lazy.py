"""Arrays in files: NumPy indexing outside, reads of one contiguous box at a time inside."""

from __future__ import annotations

import operator
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tomoprior.errors import FormatError, TomopriorError

Box: TypeAlias = tuple[slice, slice, slice]


class LazyArray(ABC):
    """A three-dimensional array that reads only the indexed part.

    A subclass implements ``_read(box)``. Indexing takes whole numbers, slices, ``...``, and a list of indices or a mask per
    axis, with NumPy's meaning. It returns arrays in memory in native byte order. Along the first axis it reads exactly the
    selected tilts, along the others the range that contains the selection.

    Parameters
    ----------
    path
        File that error messages name.
    shape, dtype
        Shape and type of the array.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int], dtype: DTypeLike) -> None:
        self.path = path
        self.shape: tuple[int, int, int] = (int(shape[0]), int(shape[1]), int(shape[2]))
        self.dtype: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")

    @abstractmethod
    def _read(self, box: Box) -> NDArray[Any]:
        """Return the values in ``box``: three slices within the shape, with start < stop and without a step."""

    @property
    def ndim(self) -> int:
        """Number of axes, 3."""
        return 3

    @property
    def size(self) -> int:
        """Number of values."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes that the whole array takes in memory."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("an array in a file cannot become a NumPy array without a copy")
        return np.asarray(self[...], dtype=dtype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.shape}, {self.dtype}, {str(self.path)!r})"

    def __getitem__(self, key: Any) -> Any:
        keys = _to_three_keys(key)
        tilts, first = _select_tilts(keys[0], self.shape[0], 0)
        (y0, y1), second = _select_range(keys[1], self.shape[1], 1)
        (x0, x1), third = _select_range(keys[2], self.shape[2], 2)
        block = np.empty((len(tilts), y1 - y0, x1 - x0), self.dtype)
        if block.size:
            for at, start, stop in _consecutive_runs(tilts):
                box = (slice(start, stop), slice(y0, y1), slice(x0, x1))
                block[at : at + stop - start] = self.read(box)
        return block[first, second, third]

    def read(self, box: Box) -> NDArray[Any]:
        """Return the values in ``box``, three slices within the shape with start < stop and without a step.

        Raises
        ------
        FormatError
            If the file cannot be read there.
        """
        try:
            return self._read(box)
        except (TomopriorError, MemoryError):
            raise
        except Exception as error:  # libraries raise errors of any class for a broken file
            raise FormatError(f"{self.path}: cannot be read ({one_line(error)})") from error


class TransposedArray(LazyArray):
    """A lazy array with its axes in another order: axis ``i`` is axis ``order[i]`` of the source."""

    def __init__(self, source: LazyArray, order: tuple[int, int, int]) -> None:
        super().__init__(source.path, (source.shape[order[0]], source.shape[order[1]], source.shape[order[2]]), source.dtype)
        self._source, self._order = source, order

    def _read(self, box: Box) -> NDArray[Any]:
        inner = [slice(0)] * 3
        for axis, s in zip(self._order, box, strict=True):
            inner[axis] = s
        return self._source.read((inner[0], inner[1], inner[2])).transpose(self._order)


class WrappedArray(LazyArray):
    """An array with ``shape``, ``dtype`` and slicing (NumPy, Zarr) as a lazy array, with the same indexing and errors."""

    def __init__(self, source: Any, path: Path) -> None:
        super().__init__(path, source.shape, source.dtype)
        self._source = source

    def _read(self, box: Box) -> NDArray[Any]:
        return to_numpy(self._source[box])


def as_lazy(array: Any) -> LazyArray:
    """Return the array itself if it is lazy, else a lazy array that reads from it."""
    return array if isinstance(array, LazyArray) else WrappedArray(array, Path("the projections"))


def to_numpy(part: Any) -> NDArray[Any]:
    """Return a NumPy array. A Dask array is computed in this thread: its scheduler would wait for the worker that calls."""
    return np.asarray(part.compute(scheduler="synchronous") if hasattr(part, "compute") else part)


def one_line(error: BaseException, limit: int = 200) -> str:
    """Return the message of an exception on one line of at most ``limit`` characters, or its class if it has no message."""
    if isinstance(error, OSError) and isinstance(error.errno, int):
        return os.strerror(error.errno)  # some libraries write a whole page as the message
    text = " ".join("".join(c if c.isprintable() or c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in str(error)).split())
    text = text or type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _to_three_keys(key: Any) -> tuple[Any, Any, Any]:
    keys = key if isinstance(key, tuple) else (key,)
    dots = [i for i, k in enumerate(keys) if k is Ellipsis]
    if len(dots) > 1:
        raise IndexError("an index can have only one ellipsis")
    if dots:
        keys = (*keys[: dots[0]], *[slice(None)] * (4 - len(keys)), *keys[dots[0] + 1 :])
    keys = (*keys, *[slice(None)] * (3 - len(keys)))
    if len(keys) != 3:
        raise IndexError(f"too many indices: the array has 3 axes, and {len(keys)} were indexed")
    return keys


def _to_indices(key: Any, n: int, axis: int) -> NDArray[np.intp] | int:
    if not isinstance(key, (list, np.ndarray)) or np.ndim(key) == 0:
        try:
            index = operator.index(key)
        except TypeError:
            raise IndexError(f"axis {axis} is indexed by whole numbers, slices or a list of them, not by {key!r}") from None
        if not -n <= index < n:
            raise IndexError(f"index {index} is out of bounds for axis {axis} with size {n}")
        return index % n
    array = np.asarray(key)
    if array.dtype == bool and array.shape == (n,):
        return np.flatnonzero(array)
    if array.size == 0:
        return np.zeros(0, np.intp)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise IndexError(f"axis {axis} takes a list of whole numbers or a mask of length {n}")
    if array.min() < -n or array.max() >= n:
        raise IndexError(f"an index is out of bounds for axis {axis} with size {n}")
    return array.astype(np.intp) % n


def _select_tilts(key: Any, n: int, axis: int) -> tuple[Any, Any]:
    """Return the positions to read along the first axis, and the index into the block read that gives the result."""
    if isinstance(key, slice):
        return range(*key.indices(n)), slice(None)
    index = _to_indices(key, n, axis)
    return (range(index, index + 1), 0) if isinstance(index, int) else (index, np.arange(len(index)))


def _select_range(key: Any, n: int, axis: int) -> tuple[tuple[int, int], Any]:
    """Return the range ``(start, stop)`` to read along an axis, and the index into it."""
    if isinstance(key, slice):
        positions = range(*key.indices(n))
        if not positions:
            return (0, 0), slice(None)
        low, high = min(positions[0], positions[-1]), max(positions[0], positions[-1])
        return (low, high + 1), slice(None, None, positions.step)
    index = _to_indices(key, n, axis)
    if isinstance(index, int):
        return (index, index + 1), 0
    if len(index) == 0:
        return (0, 0), index
    return (int(index.min()), int(index.max()) + 1), index - index.min()


def _consecutive_runs(tilts: Any) -> list[tuple[int, int, int]]:
    """Group consecutive tilts: ``(place in the result, first tilt, tilt after the last)`` of each run."""
    numbers = np.asarray(tilts)
    if len(numbers) == 0:
        return []
    breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
    starts = np.concatenate([[0], breaks])
    stops = np.concatenate([breaks, [len(numbers)]])
    return [(int(a), int(numbers[a]), int(numbers[b - 1]) + 1) for a, b in zip(starts, stops, strict=True)]
