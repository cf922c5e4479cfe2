"""The sign of whole numbers in an MRC file whose header does not say it, by the values of one image."""

from __future__ import annotations

from typing import Any

import numpy as np

from tomoprior.formats.raw import RawArray

#: Rows of the middle image that are compared.
_ROWS = 64
#: Jumps by more than half of the range that show a wrong sign: as many, and so many times those with the other sign.
_JUMPS, _RATIO = 4, 10


def opposite_sign(dtype: np.dtype[Any]) -> tuple[np.dtype[Any], tuple[str, str]]:
    """Return the whole numbers of the same size with the other sign, and the names of both: that of ``dtype`` first."""
    other = np.dtype(f"{dtype.byteorder}{'u' if dtype.kind == 'i' else 'i'}{dtype.itemsize}")
    return other, ("signed", "unsigned") if dtype.kind == "i" else ("unsigned", "signed")


def choose_sign(data: RawArray, warnings: list[str]) -> np.dtype[np.generic]:
    """Return the type of whole numbers, or its counterpart of the other sign if the values wrap around only with the first.

    Unsigned values that are read as signed jump from the largest to the smallest number where they cross the middle of their
    range, so that neighbours differ by nearly the whole range.

    Parameters
    ----------
    data
        Images as they are stored, ``[section, row, column]``; some rows of one are read.
    warnings
        A line is added for another sign than that of ``data``.
    """
    dtype = data.disk_dtype
    if dtype.kind not in "iu":
        return dtype
    nz, ny, nx = data.shape
    first = max(0, ny // 2 - _ROWS // 2)
    stored = np.ascontiguousarray(data[nz // 2 : nz // 2 + 1, first : first + _ROWS, :nx])
    other, signs = opposite_sign(dtype)
    half = 2.0 ** (8 * dtype.itemsize - 1)
    jumps, others = (
        int(np.count_nonzero(np.abs(np.diff(stored.view(kind).astype(np.float64))) > half)) for kind in (dtype, other)
    )
    if jumps < max(_JUMPS, _RATIO * others):
        return dtype
    warnings.append(
        f"{data.path}: its mode says {signs[0]} numbers, and its header has no minimum and maximum; its values jump between "
        f"the ends of the {signs[0]} range and are read as {signs[1]}"
    )
    return other
