"""Rebin a fan-beam series to the rays of a parallel beam."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from tomoprior.errors import InputError
from tomoprior.geometry import FanGeometry, Geometry
from tomoprior.series.series import TiltSeries

#: A step between tilts of more than this many median steps is a gap. Nothing is interpolated across it.
GAP = 4.0


def rebin_fan(series: TiltSeries, angles: ArrayLike | None = None) -> TiltSeries:
    """Return a fan-beam series on the rays of a parallel beam, by linear interpolation in angle and detector position.

    The parallel ray ``(phi, u)`` is the ray of the fan at the angle ``phi + gamma`` with ``sin(gamma) = u / source_distance``.
    Rays that no tilt of the fan measured get the value zero and the weight zero: methods that take a weight per pixel, as
    ``sirt``, ``cgls`` and ``tv`` do, use the others.

    Parameters
    ----------
    series
        A series with a ``FanGeometry``, at least two tilts, not shifted along y. Its weights are interpolated too.
    angles
        Angles of the parallel beam in radians; by default those of the series.

    Returns
    -------
    TiltSeries
        The series with a ``Geometry`` of the same grid, detector pixels of one voxel, and a weight for each pixel. The detector
        covers the rays of the fan; the axis is in its middle.

    Raises
    ------
    InputError
        If the series has no fan beam, a single tilt, or tilts shifted along y.
    GeometryError
        For angles that look like degrees.

    Examples
    --------
    >>> import numpy as np
    >>> import tomoprior
    >>> angles = np.deg2rad(np.arange(-180, 180, 2))
    >>> fan = tomoprior.FanGeometry(angles, (32, 1, 32), (1, 64), source_distance=100, detector_distance=40)
    >>> series = tomoprior.TiltSeries(np.ones(fan.range_shape, np.float32), fan)
    >>> tomoprior.rebin_fan(series, np.deg2rad([0, 45, 90])).geometry
    Geometry(3 tilts from 0 to 90 degrees, volume (32, 1, 32), detector (1, 60), voxel 1 pixel)
    """
    fan = series.geometry
    if not isinstance(fan, FanGeometry):
        raise InputError("the series has a parallel beam already; only a fan beam is turned into one")
    if fan.n_angles < 2:
        raise InputError("one tilt of a fan has too few rays for a parallel beam; two are needed")
    if fan.couples_slices:
        raise InputError("a series whose tilts are shifted along y cannot be turned into a parallel beam; align it first")
    phi = fan.angles if angles is None else np.atleast_1d(np.asarray(angles, np.float64))
    edges = np.tile([-0.5, fan.detector[1] - 0.5], (fan.n_angles, 1))
    half = max(float(np.abs(fan.parallel_coordinates(edges, int(rows[0]))[1]).max()) for rows in fan.slice_groups())
    nu = max(1, math.floor(2 * half))
    parallel = Geometry(phi, fan.shape, (fan.shape[1], nu), voxel_size=fan.voxel_size, unit=fan.unit)
    order, turns = _sort_angles(fan.angles)
    data = np.asarray(series.projections[...], np.float32)
    trust = np.ones(fan.range_shape, np.float32)
    if series.weights is not None:
        trust *= series.weights if series.weights.ndim == 3 else series.weights[:, None, None]
    data = np.where(trust > 0, data, 0) * trust  # a tilt without weight does not contribute to a ray between it and the next
    out, weights = np.zeros((2, *parallel.range_shape), np.float32)
    u = np.arange(nu) + 0.5 - nu / 2
    gamma = np.arcsin(u / fan.source_distance)
    theta = phi[:, None] + gamma
    tilt, inside = _find_tilts(theta, fan.angles[order], turns=turns)
    shifts = np.zeros(fan.n_angles) if fan.shifts is None else fan.shifts[:, 1]
    total = fan.source_distance + fan.detector_distance
    for y in range(fan.shape[1]):
        index = np.broadcast_to(total * np.tan(gamma) / fan.pixel_size + fan.center[y] - 0.5, tilt.shape)
        weighted, share = (
            ndimage.map_coordinates(_wrap(_align(a[:, y], shifts)[order], turns=turns), [tilt, index], order=1, mode="nearest")
            for a in (data, trust)
        )
        known = inside & (index >= 0) & (index <= fan.detector[1] - 1) & (share > 0)
        out[:, y], weights[:, y] = np.where(known, weighted / np.where(known, share, 1), 0), np.where(known, share, 0)
    return TiltSeries(out, parallel, weights, metadata={**series.metadata, "rebinned": fan.to_dict()})


def _sort_angles(angles: NDArray[np.float64]) -> tuple[NDArray[np.intp], bool]:
    """Return the order of the angles, and whether the last one is a step from the first one after a full turn."""
    order = np.argsort(angles, kind="stable")
    steps = np.diff(angles[order])
    rest = angles[order][0] + 2 * math.pi - angles[order][-1]
    return order, bool(-1e-6 < rest <= GAP * np.median(steps))


def _find_tilts(
    theta: NDArray[np.float64], angles: NDArray[np.float64], *, turns: bool
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the fractional indices of angles among sorted ones, and which of them lie between neighbours."""
    theta = angles[0] + np.mod(theta - angles[0] + 1e-9, 2 * math.pi) - 1e-9  # a full turn more or less is the same ray
    nodes = np.append(angles, angles[0] + 2 * math.pi) if turns else angles
    at = np.interp(theta, nodes, np.arange(len(nodes)))
    gaps = np.diff(nodes)
    below = np.clip(np.floor(at).astype(int), 0, len(gaps) - 1)
    measured = gaps[below] <= GAP * np.median(np.diff(angles))
    return at, measured & (theta >= nodes[0] - 1e-8) & (theta <= nodes[-1] + 1e-8)


def _wrap(sinogram: NDArray[np.float32], *, turns: bool) -> NDArray[np.float32]:
    """Return the sinogram, with its first tilt also at the end if the tilts make a full turn."""
    return np.concatenate([sinogram, sinogram[:1]]) if turns else sinogram


def _align(sinogram: NDArray[np.float32], shifts: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the sinogram with every tilt moved back by its shift."""
    if not shifts.any():
        return sinogram
    rows, columns = np.meshgrid(np.arange(len(sinogram)), np.arange(sinogram.shape[1]), indexing="ij")
    return np.asarray(ndimage.map_coordinates(sinogram, [rows, columns + shifts[:, None]], order=1, mode="constant"))
