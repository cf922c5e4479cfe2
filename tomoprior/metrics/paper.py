"""PSNR, SSIM and VIF as in the published tables for coordinate networks: ``mode="paper"``.

Van Veen et al., IJMS 25 (2024) 5473, Table 1. The text of the paper leaves open which slices are compared, which range counts
and what is matched first; their evaluation code decides it. These three functions follow that code, so that numbers can be
compared with theirs. For all other purposes the standard mode is the better measure. The steps, in this order, on volumes
``[z, y, x]``:

1. The reference is scaled from its minimum and maximum to 0 and 0.1.
2. The volume is given the mean and the standard deviation of that reference.
3. PSNR: of every x-z slice (one per y) with the maximum of the reference's slice as the range; the mean over the slices where
   it is finite and positive. Nearly empty slices score high, which flatters sparse phantoms.
4. SSIM: 2-D, of every x-y slice (one per z), uniform window of 7 x 7, sample covariance, with the maximum of the *volume* as
   the range; the mean over the slices.
5. VIF: in the pixel domain (Sheikh and Bovik, IEEE Trans. Image Process. 15 (2006) 430) but on the 3-D array: a 3-D Gaussian
   window, every second voxel kept along z and y and all along x between scales, and the mean of the volume as the variance of
   the visual noise. Its values are far above those of the standard VIF.

There are two differences from their code: float64 instead of float32, and no rounding to three decimals. On phantoms with noise
or blur neither changes the third decimal. The PSNR of a volume that agrees exactly is limited by rounding and has no meaning.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from tomoprior.errors import InputError
from tomoprior.metrics._arrays import Floats, TooSmallError, check_pair_3d
from tomoprior.metrics.matching import match_checked

_PEAK = 0.1  # maximum of the scaled reference; VIF depends on it: variances grow with its square, the noise with itself
_FLAT = 1e-10  # a smaller variance counts as zero
_WINDOW = 7
_SCALES = (17, 9, 5, 3)  # widths in voxels of Sheikh and Bovik's four windows, whose standard deviation is a fifth of that


def prepare(volume: Any, reference: Any) -> tuple[Floats, Floats]:
    """Return both volumes on the common scale (steps 1 and 2).

    Parameters
    ----------
    volume, reference
        Shape ``(nz, ny, nx)``, NumPy or torch.

    Raises
    ------
    InputError
        For a constant reference, or shapes that differ.
    """
    v, r = check_pair_3d(volume, reference)
    low, high = r.min(), r.max()
    if low == high:
        raise InputError("the reference is constant")
    r = (r - low) * (_PEAK / (high - low))
    return match_checked(v, r, "moments"), r


def psnr(volume: Any, reference: Any) -> float:
    """Return the PSNR in dB (step 3): infinite if all slices agree, NaN if none has a positive value.

    Parameters
    ----------
    volume, reference
        Shape ``(nz, ny, nx)``, NumPy or torch.

    Raises
    ------
    InputError
        As ``prepare``.
    """
    v, r = prepare(volume, reference)
    peak = r.max(axis=(0, 2))
    error = np.mean((v - r) ** 2, axis=(0, 2))
    with np.errstate(divide="ignore", invalid="ignore"):  # an empty slice (0 / error), one that agrees (peak / 0), or both
        values = 10 * np.log10(peak**2 / error)
    valid = values[np.isfinite(values) & (values > 0)]
    if valid.size:
        return float(valid.mean())
    return float("inf") if not error.any() else float("nan")


def ssim(volume: Any, reference: Any) -> float:
    """Return the SSIM (step 4), 1 for volumes that agree.

    Parameters
    ----------
    volume, reference
        Shape ``(nz, ny, nx)``, NumPy or torch.

    Raises
    ------
    TooSmallError
        For fewer than 7 voxels along an axis.
    InputError
        As ``prepare``, and if the maximum of the matched volume, which is the range of SSIM, is zero.
    """
    from skimage import metrics

    structural_similarity: Any = metrics.structural_similarity  # type: ignore[attr-defined,unused-ignore]

    v, r = prepare(volume, reference)
    if min(v.shape) < _WINDOW:
        raise TooSmallError(f"SSIM in paper mode needs {_WINDOW} voxels along each axis, got shape {v.shape}")
    peak = float(v.max())
    if peak == 0:
        raise InputError("the maximum of the matched volume, which is SSIM's range in paper mode, is zero")
    slices = zip(r, v, strict=True)
    return float(np.mean([structural_similarity(x, y, data_range=peak, win_size=_WINDOW) for x, y in slices]))


def vif(volume: Any, reference: Any) -> float:
    """Return the VIF (step 5): 1 for volumes that agree, more where the volume has more contrast than the reference.

    Parameters
    ----------
    volume, reference
        Shape ``(nz, ny, nx)``, NumPy or torch.

    Raises
    ------
    InputError
        As ``prepare``, and if the reference is too flat: no window has a variance.
    """
    v, r = prepare(volume, reference)
    noise = float(v.mean())
    shared = total = 0.0
    for i, width in enumerate(_SCALES):
        sigma = width / 5
        if i:
            r, v = (ndimage.gaussian_filter(x, sigma)[::2, ::2] for x in (r, v))
        at_scale, of_reference = _information(r, v, sigma, noise)
        shared, total = shared + at_scale, total + of_reference
    if total == 0:
        raise InputError("the reference is too flat for VIF: no window has a variance")
    return shared / total


def _information(reference: Floats, volume: Floats, sigma: float, noise: float) -> tuple[float, float]:
    """Return the information that the volume shares with the reference at one scale, and that of the reference.

    Both are logarithms to base ten. In a window the volume is ``gain * reference + rest``, and an observer adds ``noise`` to
    both. Without a positive covariance no information is shared.
    """

    def local(values: Floats) -> Floats:
        return np.asarray(ndimage.gaussian_filter(values, sigma), np.float64)

    mean_r, mean_v = local(reference), local(volume)
    var_r = np.maximum(local(reference**2) - mean_r**2, 0)
    var_v = np.maximum(local(volume**2) - mean_v**2, 0)
    covariance = local(reference * volume) - mean_r * mean_v
    var_r[var_r < _FLAT] = 0
    gain = np.where((var_r > 0) & (var_v >= _FLAT), np.maximum(covariance, 0) / (var_r + _FLAT), 0)
    rest = np.maximum(var_v - gain * covariance, _FLAT)
    shared = np.log10(1 + gain**2 * var_r / (rest + noise))
    return float(shared.sum()), float(np.log10(1 + var_r / noise).sum())
