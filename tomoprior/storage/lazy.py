"""Arrays that lie in files: NumPy indexing on top, one contiguous box at a time underneath."""

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
    """A three-dimensional array that reads only what is indexed.

    A subclass gives ``_read(box)``. Whole numbers, slices, one list of indices or a mask per axis, and ``...`` mean what they
    mean to NumPy, and give arrays in memory in native byte order. Along the first axis exactly the chosen tilts are read, along
    the others the range that spans the choice.

    Parameters
    ----------
    path
        Named in error messages.
    shape, dtype
        What the array looks like from outside.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int], dtype: DTypeLike) -> None:
        self.path = path
        self.shape: tuple[int, int, int] = (int(shape[0]), int(shape[1]), int(shape[2]))
        self.dtype: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")

    @abstractmethod
    def _read(self, box: Box) -> NDArray[Any]:
        """The values in ``box``: three slices with start < stop within the shape, and no step."""

    @property
    def ndim(self) -> int:
        """3."""
        return 3

    @property
    def size(self) -> int:
        """Number of values."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes that the whole would take in memory."""
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
        keys = _expand(key)
        tilts, first = _select(keys[0], self.shape[0], 0)
        (y0, y1), second = _span(keys[1], self.shape[1], 1)
        (x0, x1), third = _span(keys[2], self.shape[2], 2)
        block = np.empty((len(tilts), y1 - y0, x1 - x0), self.dtype)
        if block.size:
            for at, start, stop in _runs(tilts):
                box = (slice(start, stop), slice(y0, y1), slice(x0, x1))
                block[at : at + stop - start] = self._checked(box)
        return block[first, second, third]

    def _checked(self, box: Box) -> NDArray[Any]:
        try:
            return self._read(box)
        except (TomopriorError, MemoryError):
            raise
        except Exception as error:  # the libraries underneath raise anything for a broken file
            raise FormatError(f"{self.path}: cannot be read ({one_line(error)})") from error


class TransposedArray(LazyArray):
    """Another lazy array with its axes in another order: axis ``i`` is axis ``order[i]`` of the source."""

    def __init__(self, source: LazyArray, order: tuple[int, int, int]) -> None:
        super().__init__(source.path, (source.shape[order[0]], source.shape[order[1]], source.shape[order[2]]), source.dtype)
        self._source, self._order = source, order

    def _read(self, box: Box) -> NDArray[Any]:
        inner = [slice(0)] * 3
        for axis, s in zip(self._order, box, strict=True):
            inner[axis] = s
        return self._source._checked((inner[0], inner[1], inner[2])).transpose(self._order)


class WrappedArray(LazyArray):
    """Anything with ``shape``, ``dtype`` and slicing (a NumPy or Zarr array), with our indexing and our errors."""

    def __init__(self, source: Any, path: Path) -> None:
        super().__init__(path, source.shape, source.dtype)
        self._source = source

    def _read(self, box: Box) -> NDArray[Any]:
        return to_numpy(self._source[box])


def as_lazy(array: Any) -> LazyArray:
    """The array itself if it is lazy, else one that reads from it."""
    return array if isinstance(array, LazyArray) else WrappedArray(array, Path("the projections"))


def to_numpy(part: Any) -> NDArray[Any]:
    """A NumPy array; of a Dask array in this thread, as its own scheduler would wait for the worker that asks."""
    return np.asarray(part.compute(scheduler="synchronous") if hasattr(part, "compute") else part)


def one_line(error: BaseException, limit: int = 200) -> str:
    """What an exception says, on one line and not too long; its class where it says nothing."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)  # some libraries put a whole page into the text
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _expand(key: Any) -> tuple[Any, Any, Any]:
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


def _indices(key: Any, n: int, axis: int) -> NDArray[np.intp] | int:
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


def _select(key: Any, n: int, axis: int) -> tuple[Any, Any]:
    """Positions to read along the first axis, and the index that takes the result out of what was read."""
    if isinstance(key, slice):
        return range(*key.indices(n)), slice(None)
    index = _indices(key, n, axis)
    return (range(index, index + 1), 0) if isinstance(index, int) else (index, np.arange(len(index)))


def _span(key: Any, n: int, axis: int) -> tuple[tuple[int, int], Any]:
    """The range ``(start, stop)`` to read along an axis, and the index into it."""
    if isinstance(key, slice):
        chosen = range(*key.indices(n))
        if not chosen:
            return (0, 0), slice(None)
        low, high = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1])
        return (low, high + 1), slice(None, None, chosen.step)
    index = _indices(key, n, axis)
    if isinstance(index, int):
        return (index, index + 1), 0
    if len(index) == 0:
        return (0, 0), index
    return (int(index.min()), int(index.max()) + 1), index - index.min()


def _runs(tilts: Any) -> list[tuple[int, int, int]]:
    """Consecutive tilts together: ``(place in the result, first tilt, tilt after the last)``."""
    numbers = np.asarray(tilts)
    if len(numbers) == 0:
        return []
    breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
    starts = np.concatenate([[0], breaks])
    stops = np.concatenate([breaks, [len(numbers)]])
    return [(int(a), int(numbers[a]), int(numbers[b - 1]) + 1) for a, b in zip(starts, stops, strict=True)]
