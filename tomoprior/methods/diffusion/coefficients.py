"""Fourier coefficients of the tilts in one frame of the specimen, so that they can be compared.

A tilt's column u lies at x' = u / cos(theta): what is in the plane Z = 0 has the same x' in all tilts. A Hann window over the
field that all see is fixed in that frame, and the coefficients are sums over the pixels as they are, without interpolation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.geometry import Geometry

#: Frequencies in cycles per pixel that are compared: below, thickness and illumination vary; above, there is blur and noise.
BAND = (0.02, 0.18)

#: Steeper tilts are left out, degrees: what a window sees of them lies more and more beside it.
STEEPEST = 40.0

#: Fewer tilts, or fewer frequencies, tell nothing; more tilts are thinned out, to save time.
FEWEST_TILTS, MOST_TILTS, FEWEST_FREQUENCIES = 3, 41, 40

#: Frequencies along x, and along y on either side, at most.
MOST_ALONG = 20


@dataclass(frozen=True)
class Coefficients:
    """Windowed Fourier coefficients of the tilts at one ``kx``; rows of equal ``|ky|`` stand together.

    ``values`` is ``(n_ky, n_angles, 2)`` for both signs of ky, over the root of the window's power; ``ky`` is ``(n_ky,)``.
    """

    kx: float
    ky: torch.Tensor
    values: torch.Tensor


@dataclass(frozen=True)
class Tilts:
    """What is compared: tangents and cosines ``(n_angles,)``, coefficients, variance of their noise, spread of the window."""

    tan: torch.Tensor
    cos: torch.Tensor
    noise: torch.Tensor
    spread: float
    rows: list[Coefficients]


def compare_tilts(
    projections: torch.Tensor, geometry: Geometry, noise: torch.Tensor, valid: torch.Tensor, trust: torch.Tensor | None
) -> Tilts | None:
    """Coefficients of the tilts that can be compared, in double precision; None if these are too few.

    Parameters
    ----------
    projections, valid
        Line integrals, and 1 where a ray may be used, ``(n_angles, ny, nu)``.
    noise, trust
        Variance of each tilt's white noise, and how far it is trusted, ``(n_angles,)``; below one half it is left out.
    """
    index = _comparable(geometry, valid, trust)
    if len(index) < FEWEST_TILTS:
        return None
    device = projections.device
    cos = np.cos(geometry.angles[index])
    counts = valid[index] > 0
    x, y = _positions(geometry, index)
    (left, right), (top, bottom) = _field(x, y, cos, (counts.float().mean(1) > 0.5).cpu().numpy())
    width, height = right - left, bottom - top
    if min(width, height) < 4:
        return None
    x_, y_ = torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)
    window = _hann(x_, left, right) * _hann(y_, top, bottom)[:, :, None] * counts
    p = torch.where(counts, projections[index], 0.0).double()
    p = (p - (p * window).sum((1, 2), keepdim=True) / window.sum((1, 2), keepdim=True)) * window
    p /= math.sqrt(width * height) * 3 / 8  # root of the window's power
    lowest = max(BAND[0], 1.9 / min(width, height))
    kys = list_frequencies(height)
    rows, total = [], 0
    for kx in list_frequencies(width)[1:].tolist():
        k = np.hypot(kx, kys)
        ky = torch.from_numpy(kys[(k >= lowest) & (k <= BAND[1])]).to(device)
        if len(ky) == 0:
            continue
        lines = (p * _wave(-kx * x_)).sum(2)  # (tilt, y)
        waves = _wave(-ky[:, None, None] * y_)
        values = torch.stack([(waves * lines).sum(2), (waves.conj() * lines).sum(2)], 2)
        values[ky == 0, :, 1] = 0  # both signs are one there
        rows.append(Coefficients(kx, ky, values))
        total += 2 * len(ky) - int((ky == 0).sum())
    if total < FEWEST_FREQUENCIES:
        return None
    c = torch.from_numpy(cos).to(device)
    tan = torch.from_numpy(np.tan(geometry.angles[index])).to(device)
    # a Hann window squared has a Gaussian's spread of 0.577 over its width about each frequency
    return Tilts(tan, c, noise[index].double().to(device) * c, 0.577 / width, rows)


def _comparable(geometry: Geometry, valid: torch.Tensor, trust: torch.Tensor | None) -> NDArray[np.intp]:
    used = np.abs(geometry.angles) <= math.radians(STEEPEST)
    used &= ((valid > 0).float().mean((1, 2)) > 0.5).cpu().numpy()
    if trust is not None:
        used &= (trust >= 0.5).cpu().numpy()
    index = np.flatnonzero(used)
    if len(index) > MOST_TILTS:
        index = index[np.round(np.linspace(0, len(index) - 1, MOST_TILTS)).astype(int)]
    return index


def _positions(geometry: Geometry, index: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of every pixel its x' from the axis, ``(n_angles, ny, nu)``, and the rows' places, ``(n_angles, ny)``."""
    ny, nu = geometry.detector
    offsets = np.stack([geometry.offsets(row)[index] for row in range(ny)], 1)
    u = np.arange(nu) + 0.5 - nu / 2 + offsets[:, :, None]
    dy = np.zeros(len(index)) if geometry.shifts is None else geometry.shifts[index, 0]
    return u / np.cos(geometry.angles[index])[:, None, None], np.arange(ny) + 0.5 - dy[:, None]


def _field(
    x: NDArray[np.float64], y: NDArray[np.float64], cos: NDArray[np.float64], columns: NDArray[np.bool_]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """What all tilts see along x' and y; ``columns`` are those that each may use, ``(n_angles, nu)``."""
    left, right = -math.inf, math.inf
    for i, row in enumerate(columns):
        seen = np.flatnonzero(row)
        left = max(left, float(x[i, :, seen[0]].max() - 0.5 / cos[i]))
        right = min(right, float(x[i, :, seen[-1]].min() + 0.5 / cos[i]))
    return (left, right), (float(y[:, 0].max()) - 0.5, float(y[:, -1].min()) + 0.5)


def list_frequencies(length: float) -> NDArray[np.float64]:
    """Whole numbers of waves over a window, from 0 to the band's end, in cycles per pixel; thinned out if too many."""
    most = math.floor(BAND[1] * length)
    return np.arange(0, most + 1, max(1, math.ceil(most / MOST_ALONG))) / length


def _wave(turns: torch.Tensor) -> torch.Tensor:
    phase = 2 * math.pi * turns
    return torch.polar(torch.ones_like(phase), phase)


def _hann(x: torch.Tensor, left: float, right: float) -> torch.Tensor:
    phase = ((x - left) / (right - left)).clamp(0, 1)
    return (math.pi * phase).sin() ** 2


def move_tilts(tilts: Tilts, shifts: torch.Tensor) -> Tilts:
    """The tilts with these shifts undone, ``(2, n_angles)`` along x and y in pixels."""
    rows = []
    for row in tilts.rows:
        x, y = row.kx / tilts.cos * shifts[0], row.ky[:, None] * shifts[1]
        rows.append(replace(row, values=row.values * _wave(torch.stack([x + y, x - y], 2))))
    return replace(tilts, rows=rows)
