"""Noise of a detector: Gaussian of a given signal-to-noise ratio, or counts of a given dose."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tomoprior.errors import InputError

#: NumPy's Poisson numbers are 64-bit.
MOST_COUNTS = 1e15


def gaussian(clean: NDArray[np.float32], snr: float, rng: Generator) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Add white noise, so that in every projection variance of the signal / variance of the noise = ``snr``.

    The variance of the signal is that of all pixels of a projection, empty ones too.
    """
    spread = np.sqrt(clean.var(axis=(1, 2), dtype=np.float64) / snr)
    noise = rng.standard_normal(clean.shape, dtype=np.float32) * spread[:, None, None].astype(np.float32)
    return clean + noise, {"noise": "gaussian", "snr": snr, "noise_std": spread.tolist()}


def counts(
    clean: NDArray[np.float32], dose: float, attenuation: float | None, rng: Generator
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Count particles behind a specimen that lets ``exp(-attenuation * p)`` of them through, and take the logarithm again.

    Parameters
    ----------
    dose
        Electrons or photons that fall on a pixel in each tilt.
    attenuation
        Per voxel of density 1; by default so that the longest ray lets 1/e through. A pixel of no count is taken for half a
        count; the record says how many there were.
    """
    longest = float(clean.max())
    if attenuation is None:
        if longest <= 0:
            raise InputError("the projections are empty, so there is no attenuation to choose; give one")
        attenuation = 1 / longest
    expected = dose * np.exp(-attenuation * clean.astype(np.float64))
    if expected.max() > MOST_COUNTS:
        raise InputError(f"a dose of {dose:g} per pixel is too much to count: at most {MOST_COUNTS:g}")
    found = rng.poisson(expected).astype(np.float64)
    empty = int(np.sum(found == 0))
    noisy = -np.log(np.maximum(found, 0.5) / dose) / attenuation
    facts = {"noise": "counts", "dose": dose, "attenuation": attenuation, "pixels_without_count": empty}
    return noisy.astype(np.float32), facts
