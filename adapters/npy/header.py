"""NumPy's array header, checked against the file."""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path
from typing import IO, Any

import numpy as np

from tomoprior.errors import FormatError
from tomoprior.formats.checks import check_dtype, check_room, check_shape
from tomoprior.formats.raw import RawArray
from tomoprior.storage.lazy import LazyArray, TransposedArray, one_line


def parse(file: IO[bytes], path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read shape, Fortran order and type of the array at the file's position; the position is then at the values.

    Raises
    ------
    FormatError
        If no array starts there.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # for headers that Python 2 wrote
            version = np.lib.format.read_magic(file)
            if version == (1, 0):
                shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
            elif version == (2, 0):
                shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
            else:  # 3.0 is for field names in Unicode: never plain numbers
                raise FormatError(f"{path}: version {version[0]}.{version[1]} of .npy does not hold plain numbers")
    except FormatError:
        raise
    except Exception as error:  # NumPy evaluates the header as Python source, which can raise anything
        raise FormatError(f"{path}: not a NumPy array ({one_line(error)})") from error
    if not all(isinstance(n, int) and n >= 0 for n in shape):
        raise FormatError(f"{path}: a shape of {shape} cannot be right")
    return shape, bool(fortran), dtype


def lazy(
    path: Path, offset: int, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any], end: int | None = None
) -> LazyArray:
    """Return the array at ``offset`` of a file, after the checks.

    The values must end at ``end`` (by default the end of the file).
    """
    dtype, sizes = check_dtype(dtype, path), check_shape(shape, path)
    check_room(path, offset + math.prod(sizes) * dtype.itemsize, path.stat().st_size if end is None else end)
    if fortran:
        return TransposedArray(RawArray(path, offset, (sizes[2], sizes[1], sizes[0]), dtype), (2, 1, 0))
    return RawArray(path, offset, sizes, dtype)


def npy_header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """Return the bytes before the values of a C-contiguous ``.npy``."""
    buffer = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue()
