"""Voxel-wise measures. In standard mode no scale or offset is fitted unless ``match`` requests it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tomoprior.metrics import paper
from tomoprior.metrics._arrays import Floats, Mode, TooSmallError, check_mode, check_pair, resolve_data_range
from tomoprior.metrics.matching import Match, match_checked


def rmse(volume: ArrayLike, reference: ArrayLike, *, match: Match = "none") -> float:
    """Return the root of the mean squared difference, in the unit of the reference.

    Parameters
    ----------
    volume, reference
        Arrays of one shape with any number of axes, NumPy or torch.
    match
        How scale and offset are fitted to the reference first, see ``match_scale``.

    Returns
    -------
    float
        0 for volumes that agree.

    Raises
    ------
    InputError
        For shapes that differ, values that are not finite, or empty arrays.
    """
    a, b = check_pair(volume, reference)
    return _rmse(match_checked(a, b, match), b)


def psnr(
    volume: ArrayLike,
    reference: ArrayLike,
    *,
    mode: Mode = "standard",
    match: Match | None = None,
    data_range: float | None = None,
) -> float:
    """Return the peak signal-to-noise ratio ``20 log10(data_range / rmse)`` in dB, over all voxels at once.

    Parameters
    ----------
    volume, reference
        Arrays of one shape with any number of axes (three in paper mode), NumPy or torch.
    mode
        ``standard``, or ``paper``: mean over x-z slices as in Van Veen et al. 2024, see ``tomoprior.metrics.paper``.
    match
        How scale and offset are fitted to the reference first, see ``match_scale``; by default they are not.
    data_range
        By default maximum minus minimum of the reference.

    Returns
    -------
    psnr
        In dB; infinite for volumes that agree. In paper mode NaN where no slice has a positive value.

    Raises
    ------
    InputError
        For shapes that differ, values that are not finite, a constant reference without ``data_range``, or an option that paper
        mode fixes itself.
    """
    check_mode(mode, match=match, data_range=data_range)
    if mode == "paper":
        return paper.psnr(volume, reference)
    a, b = check_pair(volume, reference)
    peak = resolve_data_range(b, data_range)
    error = _rmse(match_checked(a, b, match or "none"), b)
    return float("inf") if error == 0 else float(20 * np.log10(peak / error))


def ssim(
    volume: ArrayLike,
    reference: ArrayLike,
    *,
    mode: Mode = "standard",
    match: Match | None = None,
    data_range: float | None = None,
) -> float:
    """Return the mean structural similarity in as many dimensions as the arrays have.

    The window has 7 voxels, fewer along a shorter axis. An axis of length 1 or 2 is left out of the window. Wang et al., IEEE
    Trans. Image Process. 13 (2004) 600, as ``skimage.metrics.structural_similarity`` computes it. Paper mode takes the mean
    of the 2-D measure over x-y slices, with at least 7 voxels along each axis.

    Parameters
    ----------
    volume, reference, mode, match, data_range
        As for ``psnr``.

    Returns
    -------
    float
        1 for volumes that agree.

    Raises
    ------
    InputError
        As for ``psnr``, and for volumes that are too small for the window.
    """
    check_mode(mode, match=match, data_range=data_range)
    if mode == "paper":
        return paper.ssim(volume, reference)
    from skimage import metrics

    structural_similarity: Any = metrics.structural_similarity  # type: ignore[attr-defined,unused-ignore]

    a, b = check_pair(volume, reference)
    peak = resolve_data_range(b, data_range)
    a = match_checked(a, b, match or "none")
    long = [n for n in a.shape if n >= 3]
    if not long:
        raise TooSmallError(f"arrays of shape {a.shape} are too small for SSIM")
    window = min(7, min(long) - 1 + min(long) % 2)
    short = [axis for axis, n in enumerate(a.shape) if n < 3]
    if short:
        # every plane by itself, then the mean
        planes = zip(*(np.moveaxis(v, short, range(len(short))).reshape(-1, *long) for v in (a, b)), strict=True)
        return float(np.mean([structural_similarity(x, y, data_range=peak, win_size=window) for x, y in planes]))
    return float(structural_similarity(a, b, data_range=peak, win_size=window))


def _rmse(volume: Floats, reference: Floats) -> float:
    return float(np.sqrt(np.mean((volume - reference) ** 2)))
