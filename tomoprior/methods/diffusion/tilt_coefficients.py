"""Fourier coefficients of the tilts in one frame of the specimen, so that they can be compared.

A tilt's column u lies at x' = u / cos(theta): a point of the plane Z = 0 has the same x' in all tilts. A Hann window over the
common field of all tilts is fixed in that frame. The coefficients are sums over the pixels, without interpolation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.geometry import Geometry

#: Band of frequencies that are compared, cycles per pixel. Below, thickness and illumination vary; above are blur and noise.
BAND = (0.02, 0.18)

#: Largest tilt that is used, degrees: in steeper tilts more and more of what the window shows lies beside the window.
MAX_ANGLE = 40.0

#: With fewer tilts or fewer frequencies there is no result; more tilts are thinned out to save time.
MIN_TILTS, MAX_TILTS, MIN_FREQUENCIES = 3, 41, 40

#: Largest number of frequencies along x, and along y on either side.
MAX_FREQUENCIES_PER_AXIS = 20


@dataclass(frozen=True)
class CoefficientRow:
    """Windowed Fourier coefficients of the tilts at one ``kx``, one entry for each ``|ky|``.

    ``values`` is ``(n_ky, n_angles, 2)`` for both signs of ky, divided by the root of the window's power; ``ky`` is
    ``(n_ky,)``.
    """

    kx: float
    ky: torch.Tensor
    values: torch.Tensor


@dataclass(frozen=True)
class Tilts:
    """Coefficients of the tilts.

    Attributes
    ----------
    tan, cos
        Tangents and cosines of the tilt angles, ``(n_angles,)``.
    noise
        Variance of the coefficients' noise, ``(n_angles,)``.
    window_width
        Standard deviation of the window's power spectrum along kx, cycles per pixel.
    rows
        The coefficients, one row for each ``kx``.
    """

    tan: torch.Tensor
    cos: torch.Tensor
    noise: torch.Tensor
    window_width: float
    rows: list[CoefficientRow]


def compute_tilt_coefficients(
    projections: torch.Tensor,
    geometry: Geometry,
    noise: torch.Tensor,
    valid: torch.Tensor,
    tilt_weights: torch.Tensor | None,
) -> Tilts | None:
    """Compute coefficients of the tilts that can be compared, in double precision; None if there are too few.

    Parameters
    ----------
    projections, valid
        Line integrals, and 1 where a ray may be used, ``(n_angles, ny, nu)``.
    noise, tilt_weights
        Variance of each tilt's white noise, and its weight, ``(n_angles,)``; a tilt with a weight below one half is left out.
    """
    index = _select_tilts(geometry, valid, tilt_weights)
    if len(index) < MIN_TILTS:
        return None
    device = projections.device
    cos = np.cos(geometry.angles[index])
    counts = valid[index] > 0
    x, y = _compute_positions(geometry, index)
    (left, right), (top, bottom) = _find_common_field(x, y, cos, (counts.float().mean(1) > 0.5).cpu().numpy())
    width, height = right - left, bottom - top
    if min(width, height) < 4:
        return None
    x_, y_ = torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)
    window = _hann(x_, left, right) * _hann(y_, top, bottom)[:, :, None] * counts
    p = torch.where(counts, projections[index], 0.0).double()
    p = (p - (p * window).sum((1, 2), keepdim=True) / window.sum((1, 2), keepdim=True)) * window
    p /= math.sqrt(width * height) * 3 / 8  # root of the window's power
    min_frequency = max(BAND[0], 1.9 / min(width, height))
    kys = list_frequencies(height)
    rows, total = [], 0
    for kx in list_frequencies(width)[1:].tolist():
        k = np.hypot(kx, kys)
        ky = torch.from_numpy(kys[(k >= min_frequency) & (k <= BAND[1])]).to(device)
        if len(ky) == 0:
            continue
        lines = (p * _complex_wave(-kx * x_)).sum(2)  # (tilt, y)
        waves = _complex_wave(-ky[:, None, None] * y_)
        values = torch.stack([(waves * lines).sum(2), (waves.conj() * lines).sum(2)], 2)
        values[ky == 0, :, 1] = 0  # ky = 0 has one sign only
        rows.append(CoefficientRow(kx, ky, values))
        total += 2 * len(ky) - int((ky == 0).sum())
    if total < MIN_FREQUENCIES:
        return None
    c = torch.from_numpy(cos).to(device)
    tan = torch.from_numpy(np.tan(geometry.angles[index])).to(device)
    # the power spectrum of a Hann window has a standard deviation of 0.577 / width about each frequency
    return Tilts(tan, c, noise[index].double().to(device) * c, 0.577 / width, rows)


def _select_tilts(geometry: Geometry, valid: torch.Tensor, tilt_weights: torch.Tensor | None) -> NDArray[np.intp]:
    """Return the indices of the tilts that can be compared, at most ``MAX_TILTS``."""
    used = np.abs(geometry.angles) <= math.radians(MAX_ANGLE)
    used &= ((valid > 0).float().mean((1, 2)) > 0.5).cpu().numpy()
    if tilt_weights is not None:
        used &= (tilt_weights >= 0.5).cpu().numpy()
    index = np.flatnonzero(used)
    if len(index) > MAX_TILTS:
        index = index[np.round(np.linspace(0, len(index) - 1, MAX_TILTS)).astype(int)]
    return index


def _compute_positions(geometry: Geometry, index: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x' of every pixel from the axis, ``(n_angles, ny, nu)``, and y of every row, ``(n_angles, ny)``."""
    ny, nu = geometry.detector
    offsets = np.stack([geometry.offsets(row)[index] for row in range(ny)], 1)
    u = np.arange(nu) + 0.5 - nu / 2 + offsets[:, :, None]
    dy = np.zeros(len(index)) if geometry.shifts is None else geometry.shifts[index, 0]
    return u / np.cos(geometry.angles[index])[:, None, None], np.arange(ny) + 0.5 - dy[:, None]


def _find_common_field(
    x: NDArray[np.float64], y: NDArray[np.float64], cos: NDArray[np.float64], columns: NDArray[np.bool_]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the limits along x' and y that all tilts see; ``columns`` marks each tilt's usable columns, ``(n_angles, nu)``."""
    left, right = -math.inf, math.inf
    for i, row in enumerate(columns):
        seen = np.flatnonzero(row)
        left = max(left, float(x[i, :, seen[0]].max() - 0.5 / cos[i]))
        right = min(right, float(x[i, :, seen[-1]].min() + 0.5 / cos[i]))
    return (left, right), (float(y[:, 0].max()) - 0.5, float(y[:, -1].min()) + 0.5)


def list_frequencies(length: float) -> NDArray[np.float64]:
    """Return the frequencies with a whole number of waves over a window, from 0 to the band's end, in cycles per pixel.

    They are thinned out to about ``MAX_FREQUENCIES_PER_AXIS``.
    """
    highest = math.floor(BAND[1] * length)
    return np.arange(0, highest + 1, max(1, math.ceil(highest / MAX_FREQUENCIES_PER_AXIS))) / length


def _complex_wave(turns: torch.Tensor) -> torch.Tensor:
    phase = 2 * math.pi * turns
    return torch.polar(torch.ones_like(phase), phase)


def _hann(x: torch.Tensor, left: float, right: float) -> torch.Tensor:
    phase = ((x - left) / (right - left)).clamp(0, 1)
    return (math.pi * phase).sin() ** 2


def shift_tilts(tilts: Tilts, shifts: torch.Tensor) -> Tilts:
    """Undo shifts ``(2, n_angles)`` of the tilts along x and y, in pixels."""
    rows = []
    for row in tilts.rows:
        x, y = row.kx / tilts.cos * shifts[0], row.ky[:, None] * shifts[1]
        rows.append(replace(row, values=row.values * _complex_wave(torch.stack([x + y, x - y], 2))))
    return replace(tilts, rows=rows)
