"""Block means: the one place where arrays are binned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def block_mean(array: NDArray[Any], factors: Sequence[int], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Return the means over blocks of an array.

    Parameters
    ----------
    array
        Any number of axes.
    factors
        Edge of a block along each axis. What lies beyond a multiple of it at the end of an axis is left out.
    dtype
        Type in which the means are computed and returned.

    Returns
    -------
    NDArray
        Shape ``n // factor`` along each axis.

    Examples
    --------
    >>> import numpy as np
    >>> block_mean(np.array([[1, 2, 3], [5, 6, 7]]), (2, 2)).tolist()
    [[3.5]]
    """
    sizes = [n // factor for n, factor in zip(array.shape, factors, strict=True)]
    whole = array[tuple(slice(n * factor) for n, factor in zip(sizes, factors, strict=True))]
    blocks = whole.reshape([edge for pair in zip(sizes, factors, strict=True) for edge in pair])
    return np.asarray(blocks.mean(axis=tuple(range(1, blocks.ndim, 2)), dtype=dtype))
