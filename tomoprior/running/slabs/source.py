"""The input of slabs: rows are read in the process that computes them, from a file or an array that it can open."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import InputError
from tomoprior.formats import Header, open_stack, registry
from tomoprior.storage.files import reraise_disk_errors
from tomoprior.storage.lazy import to_numpy

#: Largest array in bytes that is sent to a worker; a larger one is written to the disk first.
SMALL = 1 << 20

#: A fingerprint covers this many images, and rows of each, of arrays with more bytes than LARGE; it covers all of smaller ones.
SAMPLED, LARGE = (8, 4), 64 << 20


def read_rows(array: Any, start: int, stop: int) -> NDArray[np.float32]:
    """Return ``array[:, start:stop, :]`` in memory, float32 and contiguous; lazy arrays are computed in this thread.

    Raises
    ------
    InputError
        If values are not finite.
    """
    block = np.ascontiguousarray(to_numpy(array[:, start:stop, :]), dtype=np.float32)
    if not np.isfinite(block).all():
        bad = ~np.isfinite(block)
        tilts = np.flatnonzero(bad.any((1, 2)))
        listed = ", ".join(map(str, tilts[:8])) + (", ..." if len(tilts) > 8 else "")
        raise InputError(
            f"{int(bad.sum())} pixel(s) in rows {start} to {stop} are NaN or infinite, in tilts {listed}; --repair "
            "(repair_pixels) replaces them by the median around them"
        )
    return block


def portable(array: Any, folder: Path, name: str, weight: Callable[[Any], int]) -> Any:
    """Return the array itself if it is small when sent (``weight`` gives its bytes), else a lazy copy on the disk."""
    if array is None:
        return None
    if not isinstance(array, np.ndarray) or array.nbytes <= SMALL:
        try:
            if weight(array) <= SMALL:
                return array
        except Exception:  # an open HDF5 dataset cannot be sent
            pass
    return spool(array, folder / f"{name}.npy")


def spool(array: Any, path: Path) -> Any:
    """Copy an array to ``path`` image by image, unless that file exists, and return it as a lazy array."""
    if not path.exists():
        shape, dtype = tuple(int(n) for n in array.shape), np.dtype(array.dtype)
        temporary = path.with_name(f"new-{path.name}")
        temporary.unlink(missing_ok=True)
        with reraise_disk_errors(path):
            sink = registry.for_writing(temporary).create(temporary, Header((shape[0], shape[1], shape[2]), dtype))
            try:
                for i in range(shape[0]):
                    sink[i : i + 1, 0 : shape[1], 0 : shape[2]] = to_numpy(array[i : i + 1])
            finally:
                sink.close()
            temporary.rename(path)
    return open_stack(path).data


def fingerprint(array: Any) -> dict[str, Any] | None:
    """Return shape, type and a hash of the content.

    The hash of a large array covers some rows of some images, the first and the last included.
    """
    if array is None:
        return None
    n, ny, _ = array.shape
    content = hashlib.sha256()
    if math.prod(array.shape) * np.dtype(array.dtype).itemsize <= LARGE:
        content.update(np.ascontiguousarray(to_numpy(array[...])).tobytes())
        n = 0
    for i in np.unique(np.linspace(0, n - 1, min(n, SAMPLED[0])).round().astype(int)):
        for y in np.unique(np.linspace(0, ny - 1, SAMPLED[1]).round().astype(int)):
            content.update(np.ascontiguousarray(to_numpy(array[int(i) : int(i) + 1, int(y) : int(y) + 1, :])).tobytes())
    return {"shape": [int(v) for v in array.shape], "dtype": str(np.dtype(array.dtype)), "content": content.hexdigest()}
