"""The rays of a slice in the form that the kernels take: the crossings with the rows or the columns of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.geometry import FanGeometry, Geometry


@dataclass(frozen=True)
class Rays:
    """Rays that run closer to one axis of the slice, in the form that ``lane_kernel`` takes.

    Attributes
    ----------
    views
        Indices of the angles.
    start, slope, length
        Crossing with the first row, ``(n_angles, nu)``; its step from row to row and the length of a row's crossing,
        ``(n_angles, 1)``, or ``(n_angles, nu)`` for a fan. Rays that run closer to the other axis are placed outside.
    transposed
        True if the rows that the rays cross are the columns of the slice.
    """

    views: NDArray[np.int64]
    start: NDArray[np.float32]
    slope: NDArray[np.float32]
    length: NDArray[np.float32]
    transposed: bool


def follow_rays(geometry: Geometry, y: int) -> list[Rays]:
    """Return the rays of slice ``y``, placed in single precision as by ASTRA: those closer to z and to x are separate."""
    nz, _, nx = geometry.shape
    F = np.float32
    x, y_up, ray_x, ray_y = (_fan_rays if isinstance(geometry, FanGeometry) else _parallel_rays)(geometry, y)
    first_x, first_y = F(0.5 - nx / 2), F(nz / 2 - 0.5)
    steep = np.abs(ray_x) < np.abs(ray_y)
    found = []
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for transposed in (False, True):
            along, across = (ray_x, ray_y) if transposed else (ray_y, ray_x)
            slope = across / along
            length = np.sqrt(along * along + across * across) / np.abs(along)
            start = -(y_up + (first_x - x) * slope - first_y) if transposed else x + (first_y - y_up) * slope - first_x
            belongs = steep != transposed
            views = np.flatnonzero(belongs.any(1))
            if len(views):
                values = ((start, -2), (slope, 0), (length, 0))
                places, slopes, lengths = (np.ascontiguousarray(np.where(belongs, *v), F) for v in values)
                found.append(Rays(views, places, slopes, lengths, transposed))
    return found


def _parallel_rays(geometry: Geometry, y: int) -> tuple[NDArray[Any], ...]:
    """Return a point (x, y) of each ray, ``(n_angles, nu)``, and its direction, ``(n_angles, 1)``, in ASTRA's 2-D axes.

    There, x points to the right and y up, against the rows of the image.
    """
    F = np.float32
    nu = geometry.detector[1]
    cos, sin = np.cos(geometry.angles), np.sin(geometry.angles)
    offset = geometry.offsets(y)
    ray_x, ray_y, step_x, step_y = (v.astype(F)[:, None] for v in (sin, -cos, cos, sin))
    place = np.arange(nu, dtype=F) + F(0.5)
    x = (offset * cos - 0.5 * nu * cos).astype(F)[:, None] + place * step_x
    y_up = (offset * sin - 0.5 * nu * sin).astype(F)[:, None] + place * step_y
    return x, y_up, ray_x, ray_y


def _fan_rays(geometry: Geometry, y: int) -> tuple[NDArray[Any], ...]:
    """Return the same for a fan, in which each ray has its own direction: ``(n_angles, nu)``."""
    index = np.tile(np.arange(geometry.detector[1]), (geometry.n_angles, 1))
    phi, u = geometry.parallel_coordinates(index, y)
    cos, sin = np.cos(phi), np.sin(phi)
    return u * cos, u * sin, sin, -cos
