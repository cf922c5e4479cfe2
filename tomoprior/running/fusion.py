"""Combine the results of several methods to one volume, frequency by frequency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from tomoprior.errors import InputError
from tomoprior.metrics import fsc, measured_region
from tomoprior.reconstruction import Reconstruction
from tomoprior.running.halves import HalfReconstructions

#: Largest correlation that counts: without a limit, the weight of noise-free halves would be infinite.
MOST_CORRELATION = 0.99
#: Number of neighbours on either side over which weights are averaged, because a shell's correlation is noisy.
NEIGHBOURS = 1


def fuse(results: Sequence[HalfReconstructions], *, trust: Sequence[float] | None = None, floor: float = 0.0) -> Reconstruction:
    """Return the combination of several methods' results for one series, frequency by frequency.

    In directions between the smallest and the largest tilt, a member's weight at a frequency is ``c / (1 - c)``, where c is the
    correlation of its halves. This is signal over noise, the best weight for independent errors. Halves give no evidence about
    the missing wedge. There the weights are ``trust``.

    Parameters
    ----------
    results
        Results of ``reconstruct_halves`` by different methods from the same halves, all on one grid.
    trust
        Weight of each member in the missing wedge, not negative. None: in proportion to the correlation of its halves
        there, which measures how stable its invention is, not whether it is true.
    floor
        Smallest weight of a member at measured frequencies: from 0 to one over the number of members.

    Returns
    -------
    Reconstruction
        Its provenance lists the members, the mean weights and the trust.

    Raises
    ------
    InputError
        For fewer than two members, different grids, or trust that is negative or zero for all.

    Examples
    --------
    >>> import numpy as np
    >>> import tomoprior
    >>> from tomoprior.simulate import simulate
    >>> series = simulate("spheres", (16, 16, 32), np.deg2rad(np.arange(-60, 61, 4)), snr=1.0).series
    >>> members = [tomoprior.reconstruct_halves(series, method="sirt", num_iter=n) for n in (3, 20)]
    >>> fuse(members).volume.shape
    (16, 16, 32)
    """
    if len(results) < 2:
        raise InputError("a fusion needs the results of two methods or more")
    geometry = results[0].mean.geometry
    for other in results[1:]:
        if (other.mean.geometry.shape, other.mean.geometry.voxel_size) != (geometry.shape, geometry.voxel_size):
            raise InputError(f"the results have different grids: {geometry} and {other.mean.geometry}")
    angles = np.concatenate([results[0].first.geometry.angles, results[0].second.geometry.angles])
    measured = measured_region(geometry.shape, angles, mode="wedge")
    trusted = _supported(results, measured) if trust is None else _check_trust(trust, len(results))
    # the correlation of the halves, not with the truth: a noisy member must have little weight, and ``predicted`` does not show
    # the power of its noise (weights by it cost 2 dB on particles at a signal-to-noise ratio of 0.05)
    correlations = [_correlation(result, measured) for result in results]
    snr = np.stack([c / (1 - c) for c in correlations])
    shares = snr / np.maximum(snr.sum(0), 1e-300)
    shares[:, snr.sum(0) <= 0] = 1 / len(results)
    shares = floor + (1 - len(results) * floor) * shares
    frequency = results[0].correlation.unmasked.frequency
    radius = _radius(geometry.shape)
    fused = np.zeros(measured.shape, complex)
    for result, share, weight in zip(results, shares, trusted, strict=True):
        spectrum = fft.rfftn(np.asarray(result.mean.volume, np.float64))
        inside = np.interp(radius, frequency, share, left=float(share[0]), right=float(share[-1]))
        fused += spectrum * np.where(measured, inside, weight)
    record: Mapping[str, Any] = {
        "method": "fuse",
        "members": [str(result.mean.provenance.get("method")) for result in results],
        "mean_weights": [round(float(s.mean()), 4) for s in shares],
        "trust_in_missing_wedge": [round(float(w), 4) for w in trusted],
        "inferred": "the missing wedge: the members' inventions, weighted by trust",
    }
    volume = fft.irfftn(fused, geometry.shape).astype(np.float32)
    return Reconstruction(volume, geometry, provenance=record)


def _correlation(result: HalfReconstructions, measured: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the correlation of the halves in each shell, between 0 and ``MOST_CORRELATION``, smoothed."""
    c = np.nan_to_num(fsc(result.first.volume, result.second.volume, region=measured, mask=None).correlation)
    kernel = np.ones(2 * NEIGHBOURS + 1)
    smooth = np.convolve(np.pad(c, NEIGHBOURS, mode="edge"), kernel / kernel.sum(), mode="valid")
    return np.asarray(np.clip(smooth, 0.0, MOST_CORRELATION))


def _supported(results: Sequence[HalfReconstructions], measured: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return each member's mean correlation between its halves in the missing wedge, divided by the sum over all members."""
    scores = []
    for result in results:
        curve = fsc(result.first.volume, result.second.volume, region=~measured, mask=None)
        known = np.isfinite(curve.correlation) & (curve.count > 0)
        # the correlation of a shell with few Fourier voxels is mostly noise
        scores.append(max(float(np.average(curve.correlation[known], weights=curve.count[known])), 0.0) if known.any() else 0.0)
    total = sum(scores)
    return np.asarray([score / total if total > 0 else 1 / len(results) for score in scores], np.float64)


def _check_trust(trust: Sequence[float], n: int) -> NDArray[np.float64]:
    weights = np.asarray(trust, np.float64)
    if weights.shape != (n,) or not np.all(np.isfinite(weights)) or np.any(weights < 0) or not weights.sum() > 0:
        raise InputError(f"trust needs {n} numbers from 0, one for each member and not all 0, got {list(trust)}")
    return np.asarray(weights / weights.sum())


def _radius(shape: tuple[int, ...]) -> NDArray[np.float64]:
    axes = [*(np.fft.fftfreq(n) for n in shape[:-1]), np.fft.rfftfreq(shape[-1])]
    return np.asarray(np.sqrt(sum(k**2 for k in np.meshgrid(*axes, indexing="ij"))))
