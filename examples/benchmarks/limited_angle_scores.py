"""Scores of a reconstruction of tissue, most of them of the inside of the section alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from limited_angle_cases import Case
from scipy.ndimage import gaussian_filter

from tomoprior import metrics

#: Share of the voxels inside, the densest, that count as membranes.
MEMBRANES = 0.2

#: Highest frequency of the mean correlation in the missing region, cycles per voxel.
HIGHEST = 0.25

#: Blur of the soft mask, voxels.
SOFT = 2.0

#: Edges of the bands in which power spectra are compared, cycles per voxel.
BANDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)

#: Half the width of a normal distribution's 90 % interval, in standard deviations.
NINETY = 1.6449


def accuracy(c: Case, volume: np.ndarray) -> dict[str, float]:
    """Scores of a volume.

    ``psnr`` (dB, range 1) and ``ssim`` of the whole as it is; ``inner``, PSNR two voxels and more inside the section, every
    plane's mean error taken off; ``fsc``, mean correlation of the region that no tilt measured, inside a soft mask of the
    section; ``ap``, average precision of membranes inside; ``power_*``, power in bands over the truth's.
    """
    inside = c.regions()["inside"]
    mine, true = _masked(c, volume), _masked(c, c.truth)
    missing = metrics.directional_fsc(mine, true, c.series.geometry.angles, mask=None)["missing"]
    ratios = band_powers(mine) / band_powers(true)
    return {
        "psnr": float(metrics.psnr(volume, c.truth, data_range=1.0)),
        "ssim": float(metrics.ssim(volume, c.truth, data_range=1.0)),
        "inner": inner_psnr(volume, c.truth, inside),
        "fsc": float(missing.mean(HIGHEST)),
        "ap": average_precision(volume[inside], c.truth[inside]),
        **{f"power_{low:g}": float(ratio) for low, ratio in zip(BANDS, ratios, strict=False)},
    }


def uncertainty(c: Case, volume: np.ndarray, std: np.ndarray) -> dict[str, float]:
    """Coverage of the 90 % interval, and correlation of the standard deviation with the error.

    For each region the share that the 90 % interval covers, the mean squared standardised error and the number of voxels; and
    the correlation of std with |error|, of the whole and of the inside.
    """
    error = np.abs(volume - c.truth)
    z = error / np.maximum(std, 1e-12)
    regions = c.regions()
    found: dict[str, float] = {}
    for name, region in regions.items():
        count = int(region.sum())
        found[f"count_{name}"] = count
        found[f"cover_{name}"] = float((z[region] <= NINETY).mean()) if count else float("nan")
        found[f"z2_{name}"] = float((z[region] ** 2).mean()) if count else float("nan")
    for name, region in (("corr", np.ones_like(regions["inside"])), ("corr_inside", regions["inside"])):
        found[name] = float(np.corrcoef(std[region], error[region])[0, 1])
    return found


def inner_psnr(volume: np.ndarray, truth: np.ndarray, inside: np.ndarray) -> float:
    """PSNR in dB over the mask ``inside``, every plane's mean error there taken off."""
    error = (volume - truth) * inside
    count = np.maximum(inside.sum((1, 2), keepdims=True), 1)
    error = (error - error.sum((1, 2), keepdims=True) / count) * inside
    return float(-10 * np.log10((error**2).sum() / inside.sum()))


def average_precision(density: np.ndarray, truth: np.ndarray) -> float:
    """Mean precision over the densest ``MEMBRANES`` of the truth, found in the order of falling ``density``; chance is 0.2."""
    membrane = truth >= np.quantile(truth, 1 - MEMBRANES)
    hits = membrane[np.argsort(-density, kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())


def band_powers(volume: np.ndarray) -> np.ndarray:
    """Power of a volume between the frequencies of ``BANDS``, ``(len(BANDS) - 1,)``."""
    power = np.abs(np.fft.fftn(volume)) ** 2
    k = np.sqrt(sum(np.square(f) for f in np.meshgrid(*map(np.fft.fftfreq, volume.shape), indexing="ij", sparse=True)))
    return np.array([power[(k >= low) & (k < high)].sum() for low, high in pairwise(BANDS)])


def _masked(c: Case, volume: np.ndarray) -> np.ndarray:
    """The volume less its mean in the section, faded out beyond the section's faces."""
    soft = gaussian_filter(c.mask.astype(float), SOFT)
    return (volume - (volume * soft).sum() / soft.sum()) * soft
