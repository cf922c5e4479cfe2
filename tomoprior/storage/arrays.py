"""Convert arrays of any source to NumPy arrays that torch can use. This module does not import torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import InputError


def to_float32(array: Any, *, contiguous: bool = True) -> NDArray[np.float32]:
    """Return real values as a float32 array that torch can wrap: writable, without reversed axes, copied only if necessary.

    Parameters
    ----------
    array
        A NumPy array, a torch tensor with or without gradients, or an array that reads its values when it is indexed.
    contiguous
        True: the values are contiguous in memory. False: the order of the axes in memory stays.

    Raises
    ------
    InputError
        For a masked array with masked values, which only projections can have, and for anything but real numbers.
    """
    array = detach(array)
    data = array if isinstance(array, np.ndarray) else np.asarray(array[...] if hasattr(array, "dtype") else array)
    if np.ma.is_masked(data):
        raise InputError("masked values are possible in projections only; fill the values first (.filled(0))")
    if data.dtype.kind not in "fiub":
        raise InputError(f"expected real numbers, got dtype {data.dtype}")
    data = np.require(np.asarray(data), np.float32, ["C", "W"] if contiguous else ["W"])
    # NumPy calls a reversed axis of length one contiguous, and torch refuses it
    return data.copy() if any(stride < 0 for stride in data.strides) else data


def detach(array: Any) -> Any:
    """Return a torch tensor, with or without gradients, on any device, as a NumPy array; anything else unchanged.

    Raises
    ------
    InputError
        For a tensor without values (of the device ``meta``).
    """
    if not hasattr(array, "detach"):
        return array
    if getattr(array, "is_meta", False):
        raise InputError("a tensor of the device meta has no values")
    tensor = array.detach().cpu()
    if getattr(tensor, "layout", None) is not None and str(tensor.layout) != "torch.strided":
        tensor = tensor.to_dense()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()


def split_mask(array: Any) -> tuple[Any, NDArray[np.float32] | None]:
    """Return projections ``(angle, y, u)`` without a mask, and weights that are 0 where values were masked.

    Returns
    -------
    values
        The array itself if nothing is masked; else a copy with 0 for masked values.
    weights
        None if nothing is masked. Shape ``(n_angles,)`` if each tilt is masked completely or not at all, else the shape of the
        array.
    """
    if not isinstance(array, np.ma.MaskedArray):
        return array, None
    if not np.ma.is_masked(array):
        return array.data, None
    weights = (~np.ma.getmaskarray(array)).astype(np.float32)
    per_tilt = weights.reshape(len(weights), -1)[:, 0]
    whole = bool((weights == per_tilt.reshape(-1, *[1] * (weights.ndim - 1))).all())
    return array.filled(0), per_tilt if whole else weights
