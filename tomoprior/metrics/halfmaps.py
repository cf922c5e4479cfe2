"""Measure resolution by two reconstructions of independent halves of the data, and weight the mean of both by it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage

from tomoprior.errors import InputError
from tomoprior.metrics._arrays import Floats, check_pair_3d
from tomoprior.metrics.curve import FSC, SMOOTHING, SUSTAINED, average_shells
from tomoprior.metrics.fourier import Mask, fsc

#: Correlation of two halves at the resolution limit: their mean then correlates 0.5 with the truth (Rosenthal and Henderson,
#: J. Mol. Biol. 333 (2003) 721).
HALVES_THRESHOLD = 0.143
#: Correlation of the halves without mask: beyond the first shell below it, phases are substituted.
SUBSTITUTION_THRESHOLD = 0.8


@dataclass(frozen=True, eq=False)
class HalfMapFSC:
    """Correlations of two halves.

    Attributes
    ----------
    unmasked, masked
        Correlation of the volumes, and of the volumes times the mask.
    substituted
        Correlation of the masked volumes after random phases replaced theirs beyond ``substituted_from``: the part that
        comes from the mask itself.
    corrected
        ``(masked - substituted) / (1 - substituted)`` beyond ``substituted_from``, ``masked`` below it (Chen et al.,
        Ultramicroscopy 135 (2013) 24, eq. 4).
    substituted_from
        Frequency in cycles per voxel.
    """

    unmasked: FSC
    masked: FSC
    substituted: FSC
    corrected: FSC
    substituted_from: float

    @property
    def resolved_frequency(self) -> float:
        """Frequency in cycles per voxel up to which the halves agree: ``corrected`` at 0.143."""
        return self.corrected.crossing(HALVES_THRESHOLD)


def half_map_fsc(
    first: ArrayLike, second: ArrayLike, mask: ArrayLike, *, region: NDArray[np.bool_] | None = None, seed: int = 0
) -> HalfMapFSC:
    """Return the correlation of two halves inside a soft mask, corrected for the part that comes from the mask.

    Parameters
    ----------
    first, second
        Shape ``(nz, ny, nx)``.
    mask
        Values from 0 to 1, the same shape.
    region
        Which Fourier voxels count, as for ``fsc``: those that the tilts measured.
    seed
        Seed of the random phases.

    Returns
    -------
    HalfMapFSC
        Correlations with and without the mask, and the corrected one.

    Raises
    ------
    InputError
        For shapes that differ, and in the cases in which ``fsc`` raises it.
    """
    a, b = check_pair_3d(first, second)
    m = np.asarray(mask, np.float64)
    if m.shape != a.shape:
        raise InputError(f"the mask needs shape {a.shape}, got {m.shape}")
    unmasked, masked = fsc(a, b, region=region, mask=None), fsc(a * m, b * m, region=region, mask=None)
    start = unmasked.crossing(SUBSTITUTION_THRESHOLD)
    rng = np.random.default_rng(seed)
    substituted = fsc(*(substitute_phases(v, start, rng) * m for v in (a, b)), region=region, mask=None)
    beyond = masked.frequency > start
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (masked.correlation - substituted.correlation) / (1 - substituted.correlation)
    values = np.where(beyond & (substituted.correlation < 1), ratio, masked.correlation)
    return HalfMapFSC(unmasked, masked, substituted, FSC(masked.frequency, values, masked.count), start)


def predict_truth_fsc(
    halves: tuple[ArrayLike, ArrayLike],
    linear: tuple[ArrayLike, ArrayLike],
    *,
    region: NDArray[np.bool_] | None = None,
    mask: Mask = "box",
) -> FSC:
    """Return the expected correlation of the mean of two halves with the truth, also for a method with a prior.

    A prior acts on both halves alike, so that their own correlation is too high. The noise of a linear reconstruction of the
    other half does not depend on the prior: ``FSC(x1, l2) = FSC(x1, truth) FSC(l2, truth)`` and ``FSC(l1, l2) = FSC(l2,
    truth)^2``. The mean of the halves correlates better than a half by ``sqrt(2 / (1 + FSC(x1, x2)))``.

    Parameters
    ----------
    halves
        Volumes of the method, from independent halves of the data.
    linear
        Volumes of a linear method without a prior, from the same halves in the same order.
    region, mask
        Which Fourier voxels count, as for ``fsc``: those that the tilts measured. The same mask is on all volumes: the
        prediction is for a correlation with the truth inside it.

    Returns
    -------
    FSC
        Averages over three shells, from 0 to 1. 0 where the linear halves agree no better than noise does, in three shells in a
        row, and beyond.
    """
    (x1, x2), (l1, l2) = halves, linear
    plain = fsc(l1, l2, region=region, mask=mask)
    crossed = np.mean([fsc(a, b, region=region, mask=mask).correlation for a, b in ((x1, l2), (x2, l1))], axis=0)
    own = fsc(x1, x2, region=region, mask=mask).correlation
    # single shells of noisy halves are too uncertain to be divided by
    crossed, agreement, own = (average_shells(c, plain.count) for c in (crossed, plain.correlation, own))
    # the standard deviation of the average for independent noise: of a conjugate pair, one value counts
    share = sum(SMOOTHING) ** 2 / sum(w * w for w in SMOOTHING) / 2
    noise = 1 / np.sqrt(share * np.maximum(plain.count, 1.0))
    below = np.pad(agreement <= noise, (0, SUSTAINED - 1), constant_values=True)
    known = np.cumsum(np.lib.stride_tricks.sliding_window_view(below, SUSTAINED).all(1)) == 0
    factor = np.sqrt(2 / (1 + np.clip(own, 0.0, 1.0)) / np.maximum(agreement, noise))
    return FSC(plain.frequency, np.where(known, np.clip(crossed * factor, 0.0, 1.0), 0.0), plain.count)


def substitute_phases(volume: Floats, start: float, rng: np.random.Generator) -> Floats:
    """Return a volume with the same amplitudes, and with random phases at frequencies above ``start`` cycles per voxel.

    Parameters
    ----------
    volume
        Shape ``(nz, ny, nx)``.
    start
        Frequency in cycles per voxel, up to which phases are kept.
    rng
        Source of the random phases.
    """
    spectrum = fft.rfftn(volume)
    # the phases of a real volume of noise have the symmetry that a real result needs
    noise = fft.rfftn(rng.standard_normal(volume.shape))
    phases = noise / np.maximum(np.abs(noise), 1e-300)
    beyond = _radius(volume.shape) > start
    spectrum[beyond] = np.abs(spectrum[beyond]) * phases[beyond]
    return np.asarray(fft.irfftn(spectrum, volume.shape))


def soft_mask(volume: ArrayLike, *, lowpass: float = 2.0, share: float = 0.15, edge: float = 3.0) -> Floats:
    """Return a mask around the matter of a volume: 1 inside, falling to 0 as a cosine.

    Parameters
    ----------
    volume
        Shape ``(nz, ny, nx)``, matter bright: the mean of both halves.
    lowpass
        Standard deviation in voxels of the Gaussian before the threshold.
    share
        Threshold: the median plus this share of the distance from the median to the 99.9th percentile.
    edge
        Width of the cosine in voxels; the mask is wider than the matter by as much.

    Returns
    -------
    NDArray
        Values from 0 to 1, the same shape.
    """
    smooth = ndimage.gaussian_filter(np.asarray(volume, np.float64), lowpass)
    middle, top = np.median(smooth), np.quantile(smooth, 0.999)
    inside = smooth > middle + share * (top - middle)
    if not inside.any() or edge <= 0:
        return inside.astype(np.float64) if inside.any() else np.ones(smooth.shape)
    distance = np.maximum(ndimage.distance_transform_edt(~inside) - edge, 0.0)
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * np.minimum(distance / edge, 1.0)))


def local_resolution(first: ArrayLike, second: ArrayLike, *, window: int = 16, threshold: float = HALVES_THRESHOLD) -> Floats:
    """Return the resolution around each voxel, as a length in voxels: windowed FSC of two halves.

    Parameters
    ----------
    first, second
        Shape ``(nz, ny, nx)``.
    window
        Edge of the cubic window in voxels; its values are weighted by a Hann window. Windows overlap by half, and the map is
        interpolated between their middles.
    threshold
        Correlation at the resolution limit of a window.

    Returns
    -------
    NDArray
        Values of the same shape, from 2 voxels (the Nyquist frequency) to ``window`` (halves that do not agree at all).

    Raises
    ------
    InputError
        For a window below 8 voxels, or larger than the volume.
    """
    a, b = check_pair_3d(first, second)
    if not 8 <= window <= min(a.shape):
        raise InputError(f"the window must have 8 to {min(a.shape)} voxels, got {window}")
    taper = np.hanning(window + 2)[1:-1]
    weight = taper[:, None, None] * taper[:, None] * taper
    starts = [_window_starts(n, window) for n in a.shape]
    values = np.empty([len(s) for s in starts])
    for place in np.ndindex(values.shape):
        box = tuple(slice(s[i], s[i] + window) for s, i in zip(starts, place, strict=True))
        parts = [(v[box] - v[box].mean()) * weight for v in (a, b)]
        if not all(part.any() for part in parts):
            values[place] = window
            continue
        frequency = fsc(*parts, mask=None).crossing(threshold)
        values[place] = window if not frequency > 1 / window else 1 / frequency
    middles = [np.add(s, (window - 1) / 2) for s in starts]
    grid = [np.interp(np.arange(n), m, np.arange(len(m))) for n, m in zip(a.shape, middles, strict=True)]
    places = np.stack(np.meshgrid(*grid, indexing="ij"))
    return np.asarray(ndimage.map_coordinates(values, places, order=1, mode="nearest"))


def sharpen(volume: ArrayLike, correlation: FSC, *, b_factor: float = 0.0) -> Floats:
    """Return the mean of two halves weighted by its expected correlation with the truth at each frequency.

    Each shell is multiplied by ``sqrt(2 FSC / (1 + FSC))`` (Rosenthal and Henderson 2003) and by ``exp(b_factor k^2 / 4)``;
    from the first shell without correlation on, all are 0.

    Parameters
    ----------
    volume
        The mean, shape ``(nz, ny, nx)``.
    correlation
        Correlation of the halves.
    b_factor
        B of the factor in square voxels. Positive values sharpen.

    Returns
    -------
    NDArray
        The sharpened volume, the same shape.
    """
    data = np.asarray(volume, np.float64)
    c = np.nan_to_num(correlation.correlation)
    ended = np.cumsum(c <= 0) > 0
    merit = np.sqrt(np.where(ended, 0.0, 2 * np.maximum(c, 0) / (1 + np.maximum(c, 0))))
    radius = _radius(data.shape)
    gain = np.interp(radius, correlation.frequency, merit, left=1.0, right=float(merit[-1]))
    return np.asarray(fft.irfftn(fft.rfftn(data) * gain * np.exp(b_factor / 4 * radius**2), data.shape))


def _window_starts(n: int, window: int) -> list[int]:
    count = max(1, round((n - window) / (window / 2)) + 1)
    return [round(v) for v in np.linspace(0, n - window, count)]


def _radius(shape: tuple[int, ...]) -> Floats:
    """Return the frequencies of ``rfftn`` in cycles per voxel."""
    axes = [*(np.fft.fftfreq(n) for n in shape[:-1]), np.fft.rfftfreq(shape[-1])]
    return np.asarray(np.sqrt(sum(k**2 for k in np.meshgrid(*axes, indexing="ij"))))
