"""Voxel-wise measures, on NumPy arrays of any number of axes. Scale and offset are never fitted: values count as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tomoprior.errors import InputError


def rmse(volume: ArrayLike, reference: ArrayLike) -> float:
    """Root of the mean squared difference, in the volumes' own unit."""
    a, b = _pair(volume, reference)
    return float(np.sqrt(np.mean((a - b) ** 2)))


def psnr(volume: ArrayLike, reference: ArrayLike, *, data_range: float | None = None) -> float:
    """``20 log10(data_range / rmse)`` in dB; ``data_range`` is by default maximum minus minimum of the reference.

    Raises
    ------
    InputError
        For shapes that differ, or a constant reference without ``data_range``.
    """
    _, reference_array = _pair(volume, reference)
    span = _range(reference_array, data_range)
    error = rmse(volume, reference)
    return float("inf") if error == 0 else float(20 * np.log10(span / error))


def ssim(volume: ArrayLike, reference: ArrayLike, *, data_range: float | None = None) -> float:
    """Mean structural similarity, in as many dimensions as the arrays have; window of 7 (less where an axis is shorter).

    Wang et al., IEEE Trans. Image Process. 13 (2004) 600, as ``skimage.metrics.structural_similarity`` computes it. An axis of
    length 1 or 2 is left out of the window.
    """
    from skimage import metrics

    structural_similarity: Any = metrics.structural_similarity  # type: ignore[attr-defined,unused-ignore]

    a, b = _pair(volume, reference)
    span = _range(b, data_range)
    long = [n for n in a.shape if n >= 3]
    if not long:
        raise InputError(f"arrays of shape {a.shape} are too small for SSIM")
    window = min(7, min(long) - 1 + min(long) % 2)
    short = [axis for axis, n in enumerate(a.shape) if n < 3]
    if short:
        # every plane by itself, then the mean
        planes = zip(*(np.moveaxis(v, short, range(len(short))).reshape(-1, *long) for v in (a, b)), strict=True)
        return float(np.mean([structural_similarity(x, y, data_range=span, win_size=window) for x, y in planes]))
    return float(structural_similarity(a, b, data_range=span, win_size=window))


def _pair(volume: ArrayLike, reference: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    arrays: list[Any] = [v.detach().cpu().numpy() if hasattr(v, "detach") else np.asarray(v) for v in (volume, reference)]
    a, b = (np.asarray(v, np.float64) for v in arrays)
    if a.shape != b.shape:
        raise InputError(f"the volume has shape {a.shape}, the reference {b.shape}")
    if a.size == 0:
        raise InputError("the volumes are empty")
    return a, b


def _range(reference: NDArray[np.float64], data_range: float | None) -> float:
    span = float(reference.max() - reference.min()) if data_range is None else float(data_range)
    if not span > 0:
        raise InputError("the reference is constant; give data_range")
    return span
