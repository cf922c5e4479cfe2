"""Scores of a reconstruction of tissue, most of them for the inside of the section alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from limited_angle_cases import Case
from scipy.ndimage import gaussian_filter

from tomoprior import metrics

#: Share of the densest voxels inside that count as membranes.
MEMBRANE_SHARE = 0.2

#: Highest frequency of the mean correlation in the missing region, cycles per voxel.
MAX_FREQUENCY = 0.25

#: Blur of the soft mask, voxels.
MASK_BLUR = 2.0

#: Edges of the bands in which power spectra are compared, cycles per voxel.
BANDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)

#: Half the width of a normal distribution's 90 % interval, in standard deviations.
HALF_INTERVAL = 1.6449


def score_accuracy(c: Case, volume: np.ndarray) -> dict[str, float]:
    """Return the scores of a volume.

    ``psnr`` (dB, range 1) and ``ssim`` are of the whole volume. ``inner`` is the PSNR two voxels and more inside the section,
    without each plane's mean error. ``fsc`` is the mean correlation of the region that no tilt measured, inside a soft mask of
    the section. ``ap`` is the average precision of membranes inside. ``power_*`` is the power in bands over the truth's.
    """
    inside = c.make_regions()["inside"]
    masked, masked_truth = _mask_softly(c, volume), _mask_softly(c, c.truth)
    missing = metrics.directional_fsc(masked, masked_truth, c.series.geometry.angles, mask=None)["missing"]
    ratios = compute_band_powers(masked) / compute_band_powers(masked_truth)
    return {
        "psnr": float(metrics.psnr(volume, c.truth, data_range=1.0)),
        "ssim": float(metrics.ssim(volume, c.truth, data_range=1.0)),
        "inner": compute_inner_psnr(volume, c.truth, inside),
        "fsc": float(missing.mean(MAX_FREQUENCY)),
        "ap": compute_average_precision(volume[inside], c.truth[inside]),
        **{f"power_{low:g}": float(ratio) for low, ratio in zip(BANDS, ratios, strict=False)},
    }


def score_uncertainty(c: Case, volume: np.ndarray, std: np.ndarray) -> dict[str, float]:
    """Return coverage of the 90 % interval, and correlation of the standard deviation with the error.

    For each region these are the coverage, the mean squared standardised error and the number of voxels. The correlation of
    std with |error| is for the whole and for the inside.
    """
    error = np.abs(volume - c.truth)
    z = error / np.maximum(std, 1e-12)
    regions = c.make_regions()
    scores: dict[str, float] = {}
    for name, region in regions.items():
        count = int(region.sum())
        scores[f"count_{name}"] = count
        scores[f"cover_{name}"] = float((z[region] <= HALF_INTERVAL).mean()) if count else float("nan")
        scores[f"z2_{name}"] = float((z[region] ** 2).mean()) if count else float("nan")
    for name, region in (("corr", np.ones_like(regions["inside"])), ("corr_inside", regions["inside"])):
        scores[name] = float(np.corrcoef(std[region], error[region])[0, 1])
    return scores


def compute_inner_psnr(volume: np.ndarray, truth: np.ndarray, inside: np.ndarray) -> float:
    """Return the PSNR in dB over the mask ``inside``, without each plane's mean error there."""
    error = (volume - truth) * inside
    count = np.maximum(inside.sum((1, 2), keepdims=True), 1)
    error = (error - error.sum((1, 2), keepdims=True) / count) * inside
    return float(-10 * np.log10((error**2).sum() / inside.sum()))


def compute_average_precision(density: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean precision of the truth's densest ``MEMBRANE_SHARE`` in order of falling ``density``; chance is 0.2."""
    membrane = truth >= np.quantile(truth, 1 - MEMBRANE_SHARE)
    hits = membrane[np.argsort(-density, kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())


def compute_band_powers(volume: np.ndarray) -> np.ndarray:
    """Return the power of a volume between the frequencies of ``BANDS``, ``(len(BANDS) - 1,)``."""
    power = np.abs(np.fft.fftn(volume)) ** 2
    k = np.sqrt(sum(np.square(f) for f in np.meshgrid(*map(np.fft.fftfreq, volume.shape), indexing="ij", sparse=True)))
    return np.array([power[(k >= low) & (k < high)].sum() for low, high in pairwise(BANDS)])


def _mask_softly(c: Case, volume: np.ndarray) -> np.ndarray:
    """Return the volume minus its mean in the section, times a soft mask of the section."""
    soft = gaussian_filter(c.mask.astype(float), MASK_BLUR)
    return (volume - (volume * soft).sum() / soft.sum()) * soft
