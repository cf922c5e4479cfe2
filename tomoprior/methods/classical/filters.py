"""Filters of weighted back-projection: a ramp times a window."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BeforeValidator
from scipy import fft

#: TomoPy's and ASTRA's spellings of the same filters.
_ALIASES: dict[str, str | None] = {"none": None, "ramlak": "ramp", "ram-lak": "ramp", "shepp": "shepp-logan", "hanning": "hann"}
FilterName = Annotated[
    Literal["ramp", "shepp-logan", "cosine", "hamming", "hann", "sirt"] | None,
    BeforeValidator(lambda v: _ALIASES.get(v.lower(), v.lower()) if isinstance(v, str) else v),
]


def compute_response(
    name: str | None, nu: int, cutoff: float = 1.0, sirt_iterations: int = 20, thickness: int = 1
) -> NDArray[np.float32]:
    """Return the real frequency response for ``numpy.fft.rfft`` of rows padded to at least twice ``nu`` pixels.

    Parameters
    ----------
    name
        The window; None for no filter. ``sirt`` follows SIRT's convergence: after n iterations a frequency k has reached
        ``1 - (1 - a / k)^n`` of its value, where ``a = 1 / (pi thickness)`` is the gain of one step in which each ray spreads
        its residual over ``thickness`` voxels (compare Wolf, Lubk and Lichte, Ultramicroscopy 136 (2014) 15).
    nu
        Pixels of the detector.
    cutoff
        Fraction of the Nyquist frequency at which the window ends.
    sirt_iterations, thickness
        For ``sirt``: the number n, and the voxels along a ray.
    """
    n = fft.next_fast_len(2 * nu, real=True)
    k = np.fft.rfftfreq(n)
    if name is None:
        ramp = np.ones_like(k)
    else:
        # the ramp's samples in space, not |k|: sampling |k| would lose the mean (Kak and Slaney, eq. 61)
        at = np.fft.fftfreq(n, 1 / n).round().astype(int)
        odd = at % 2 != 0
        kernel = np.zeros(n)
        kernel[0] = 0.25
        kernel[odd] = -1 / (math.pi * at[odd]) ** 2
        ramp = np.fft.rfft(kernel).real
    f = k / (0.5 * cutoff)
    window = {
        "shepp-logan": np.sinc(f / 2),
        "cosine": np.cos(math.pi * f / 2),
        "hamming": 0.54 + 0.46 * np.cos(math.pi * f),
        "hann": 0.5 + 0.5 * np.cos(math.pi * f),
    }.get(name or "", np.ones_like(k))
    if name == "sirt":
        gain = np.minimum(1.0, 1 / (math.pi * thickness * np.maximum(k, 1e-12)))
        window = 1 - (1 - gain) ** sirt_iterations
    return np.asarray(np.where(f <= 1 + 1e-9, ramp * window, 0.0), dtype=np.float32)


def filter_projections(projections: torch.Tensor, spectrum: NDArray[np.float32], *, extend: bool) -> torch.Tensor:
    """Filter ``(n_angles, ny, nu)`` along u, tilt by tilt, so that only one padded tilt is in memory."""
    nu = projections.shape[-1]
    n = _padded_length(spectrum, nu)
    factor = torch.from_numpy(spectrum).to(projections.device)
    before = (n - nu) // 2
    out = torch.empty_like(projections, memory_format=torch.contiguous_format)
    for i, rows in enumerate(projections):
        if extend:
            padded = torch.nn.functional.pad(rows, (before, n - nu - before), mode="replicate")
        else:
            padded = torch.nn.functional.pad(rows, (before, n - nu - before))
        out[i] = torch.fft.irfft(torch.fft.rfft(padded) * factor, n=n)[..., before : before + nu]
    return out


def _padded_length(spectrum: NDArray[np.float32], nu: int) -> int:
    n = fft.next_fast_len(2 * nu, real=True)
    assert n // 2 + 1 == len(spectrum)
    return int(n)
