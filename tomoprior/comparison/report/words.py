"""Numbers, lengths and times as text."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tomoprior.geometry import Geometry
from tomoprior.units import volume_unit, voxel_edge

#: The text for a missing value.
NONE = "–"


def format_number(value: float | None, digits: int = 3) -> str:
    """Return ``value`` with this many significant digits; only very large and very small values get an exponent."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if not -4 <= size < 7:
        return f"{value:.{digits - 1}e}".replace("-", "−")
    return f"{value:.{max(0, digits - 1 - size)}f}".replace("-", "−")


def format_short(value: float) -> str:
    """Return a number with up to four digits and no trailing zeros, for angles and sizes: ``-60``, ``1.5``."""
    return f"{value:.4g}".replace("-", "−")


def format_duration(seconds: float) -> str:
    """Return a time as ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds >= 0.095 else "<0.1 s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_runs(numbers: Sequence[int]) -> str:
    """Return ``0–3, 7, 9–10`` for 0, 1, 2, 3, 7, 9, 10."""
    groups: list[list[int]] = []
    for n in numbers:
        if groups and n == groups[-1][-1] + 1:
            groups[-1].append(n)
        else:
            groups.append([n])
    return ", ".join(f"{g[0]}–{g[-1]}" if len(g) > 1 else f"{g[0]}" for g in groups)


def unit(geometry: Geometry) -> str:
    """Return the symbol of the unit of lengths; ``voxels`` if the voxel size is unknown."""
    return volume_unit(geometry.unit)


def voxel(geometry: Geometry) -> float:
    """Return the voxel size in that unit."""
    return voxel_edge(geometry.voxel_size, geometry.unit)


def data_line(geometry: Geometry) -> str:
    """Describe the tilt series and the grid in one line."""
    nz, ny, nx = geometry.shape
    degrees = np.rad2deg(geometry.angles)
    tilts = f"{geometry.n_angles} tilts from {format_short(degrees.min())}° to {format_short(degrees.max())}°"
    if geometry.n_angles == 1:
        tilts = f"one tilt at {format_short(degrees[0])}°"
    size = "unknown" if geometry.unit == "pixel" else f"{format_short(geometry.voxel_size)} {unit(geometry)}"
    return f"{tilts} · {nx} × {ny} × {nz} voxels (x, y, z) · voxel size {size}"


def misses_wedge(geometry: Geometry) -> bool:
    """Return whether the tilts leave out a wedge that is clearly wider than the steps between them."""
    angles = np.sort(geometry.angles)
    return bool(np.pi - np.ptp(angles) > 1.5 * np.diff(angles).max(initial=0.0))
