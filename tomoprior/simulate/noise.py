"""Noise of a detector: Gaussian with a given signal-to-noise ratio, or counts at a given dose."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tomoprior.errors import InputError

#: NumPy's Poisson numbers are 64-bit.
MAX_COUNTS = 1e15


def add_gaussian_noise(clean: NDArray[np.float32], snr: float, rng: Generator) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Return projections with white noise and the facts for the record.

    In every projection the variance of the signal is ``snr`` times the variance of the noise. The variance of the signal is
    taken over all pixels of a projection, including empty ones.

    Parameters
    ----------
    clean
        Projections, shape ``(n_angles, ny, nu)``.
    snr
        Ratio of the variances.
    rng
        Source of random numbers.
    """
    std = np.sqrt(clean.var(axis=(1, 2), dtype=np.float64) / snr)
    noise = rng.standard_normal(clean.shape, dtype=np.float32) * std[:, None, None].astype(np.float32)
    return clean + noise, {"noise": "gaussian", "snr": snr, "noise_std": std.tolist()}


def add_counting_noise(
    clean: NDArray[np.float32], dose: float, attenuation: float | None, rng: Generator
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Return projections as measured by counting particles, and the facts for the record.

    The specimen transmits ``exp(-attenuation * p)`` of the particles; the logarithm of the counts gives line integrals again. A
    pixel without a count is taken for half a count; the record says how many there were.

    Parameters
    ----------
    dose
        Electrons or photons per pixel and tilt, before the specimen.
    attenuation
        Attenuation per voxel of density 1; None: 1/e of the beam passes along the longest ray.
    rng
        Source of random numbers.

    Raises
    ------
    InputError
        If the projections are empty and ``attenuation`` is None, or if the dose is too large to count.
    """
    longest = float(clean.max())
    if attenuation is None:
        if longest <= 0:
            raise InputError("the projections are empty, so that no attenuation can be chosen: give one")
        attenuation = 1 / longest
    expected = dose * np.exp(-attenuation * clean.astype(np.float64))
    if expected.max() > MAX_COUNTS:
        raise InputError(f"a dose of {dose:g} per pixel is too much to count: at most {MAX_COUNTS:g}")
    counted = rng.poisson(expected).astype(np.float64)
    empty = int(np.sum(counted == 0))
    noisy = -np.log(np.maximum(counted, 0.5) / dose) / attenuation
    facts = {"noise": "counts", "dose": dose, "attenuation": attenuation, "pixels_without_count": empty}
    return noisy.astype(np.float32), facts
