"""Find the support of an isolated object from its projections: a mask for methods that take one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.series.series import TiltSeries

#: The automatic threshold: this share of the 99th percentile, and at least this number of standard deviations of the noise.
SHARE, DEVIATIONS = 0.03, 5.0
#: Number of passes of the fit of a disc. In each, edges far from the previous disc have less weight.
PASSES = 10


@dataclass(frozen=True)
class Disc:
    """A disc in a slice: its centre ``(x, z)`` in voxels from the centre of the grid, and its radius in voxels."""

    x: float
    z: float
    radius: float

    def distances(self, x: ArrayLike, z: ArrayLike) -> NDArray[np.float64]:
        """Return the distances of points from the edge, negative inside; ``x`` and ``z`` broadcast."""
        return np.asarray(np.hypot(np.subtract(x, self.x), np.subtract(z, self.z)) - self.radius)

    def project(self, geometry: Geometry, y: int = 0, samples: int = 4) -> NDArray[np.float64]:
        """Return the line integrals of the disc with density 1, shape ``(n_angles, nu)``, as means over each pixel."""
        within = (np.arange(samples) + 0.5) / samples - 0.5
        index = np.arange(geometry.detector[1])[:, None] + within
        phi, u = geometry.parallel_coordinates(np.broadcast_to(index.ravel(), (geometry.n_angles, index.size)), y)
        distance = self.x * np.cos(phi) - self.z * np.sin(phi) - u
        chords = 2 * np.sqrt(np.maximum(0.0, self.radius**2 - distance**2))
        return np.asarray(chords.reshape(geometry.n_angles, -1, samples).mean(-1))


def support_from_projections(
    series: TiltSeries,
    *,
    shape: Literal["hull", "disc"] = "hull",
    threshold: float | None = None,
    margin: float = 1.0,
) -> NDArray[np.bool_]:
    """Return the mask of the voxels that an isolated object can fill, from the projections alone.

    Every ray through an object of positive density has a signal. In every tilt, the object therefore lies between the outermost
    rays with a signal. The object must be isolated: nothing else may lie in the beam, and the background of the projections
    must be zero.

    Parameters
    ----------
    series
        Projections in a parallel or a fan beam, aligned, with a background of zero.
    shape
        ``hull``: all voxels that every tilt allows, slice by slice. Rays beside the detector exclude nothing.
        ``disc``: the disc that fits the edges in all tilts best, slice by slice; for round objects, and few tilts.
    threshold
        Projections above it are signal; by default 3 % of the 99th percentile, or five standard deviations of the noise
        where that is more.
    margin
        Distance in voxels by which the support is extended on every side.

    Returns
    -------
    ndarray
        Shape ``(nz, ny, nx)``, True inside; ``mask=`` of ``tomoprior.reconstruct`` takes it.

    Raises
    ------
    InputError
        If a slice has no signal, or if tilts are shifted along y.

    Examples
    --------
    >>> import numpy as np
    >>> import tomoprior
    >>> geometry = tomoprior.Geometry(np.deg2rad(np.arange(-60, 61, 5)), (32, 1, 32))
    >>> truth = np.zeros(geometry.shape, np.float32)
    >>> truth[12:20, :, 10:18] = 1
    >>> series = tomoprior.TiltSeries(tomoprior.Projector(geometry, "cpu")(truth), geometry)
    >>> mask = tomoprior.support_from_projections(series)
    >>> bool(mask[truth > 0].all()), bool(mask.mean() < 0.25)
    (True, True)
    """
    geometry = series.geometry
    if geometry.couples_slices:
        raise InputError("the support cannot be found where tilts are shifted along y; align the series first")
    if shape not in ("hull", "disc"):
        raise InputError(f"shape must be hull or disc, got {shape!r}")
    data = np.asarray(series.projections[...], np.float64)
    limit = _find_threshold(data) if threshold is None else float(threshold)
    nz, ny, nx = geometry.shape
    z, x = np.arange(nz)[:, None] - (nz - 1) / 2, np.arange(nx)[None, :] - (nx - 1) / 2
    mask = np.empty(geometry.shape, bool)
    for y in range(ny):
        if shape == "disc":
            mask[:, y] = fit_disc(data[:, y], geometry, limit, y).distances(x, z) <= margin
        else:
            mask[:, y] = _intersect_tilts(data[:, y], geometry, limit, margin, y)
    return mask


def fit_disc(sinogram: NDArray[np.float64], geometry: Geometry, threshold: float, y: int = 0) -> Disc:
    """Return the disc whose edges fit those of a sinogram ``(n_angles, nu)`` best.

    A ray that touches a disc passes its centre at the distance of the radius. In the coordinates of parallel rays that is
    ``x cos(phi) - z sin(phi) +- radius = u``: linear in the three unknowns, for a fan too. Where the projection falls below
    ``threshold`` the ray still crosses the disc; a disc of density 1 is taken to correct for that.

    Raises
    ------
    InputError
        If fewer than two tilts show both edges.
    """
    edges = np.array([_find_edges(row, threshold) for row in sinogram])
    known = np.isfinite(edges).all(1)
    if known.sum() < 2:
        raise InputError(f"slice {y} shows both edges of an object in {int(known.sum())} tilt(s); a disc needs two")
    phi, u = (values[known] for values in geometry.parallel_coordinates(edges, y))
    rows = np.stack([np.cos(phi), -np.sin(phi), np.broadcast_to([-1.0, 1.0], u.shape)], -1).reshape(-1, 3)
    u = u.reshape(-1)
    trust = np.ones(len(u))
    for _ in range(PASSES):
        solution = np.linalg.lstsq(rows * trust[:, None], u * trust, rcond=None)[0]
        misfit = np.abs(rows @ solution - u)
        trust = 1 / np.maximum(1, misfit / (2 * np.median(misfit) + 1e-9))
    return Disc(float(solution[0]), float(solution[1]), float(np.hypot(solution[2], threshold / 2)))


def _intersect_tilts(
    sinogram: NDArray[np.float64], geometry: Geometry, threshold: float, margin: float, y: int
) -> NDArray[np.bool_]:
    """Return the pixels of a slice that lie between the outermost signals of every tilt."""
    nz, _, nx = geometry.shape
    nu = geometry.detector[1]
    signal = ndimage.median_filter(sinogram, (1, 3), mode="nearest") > threshold  # a single bright pixel is noise
    if not signal.any():
        raise InputError(f"slice {y} has no signal above {threshold:.4g}; give a lower threshold")
    first, last = signal.argmax(1).astype(float), nu - 1.0 - signal[:, ::-1].argmax(1)
    first[first == 0], last[last == nu - 1] = -np.inf, np.inf  # rays beside the detector exclude nothing
    first[~signal.any(1)], last[~signal.any(1)] = -np.inf, np.inf
    z, x = np.arange(nz)[:, None] - (nz - 1) / 2, np.arange(nx)[None, :] - (nx - 1) / 2
    index = geometry.detector_positions(x, z, y)
    # a detector pixel extends half a pixel to either side of its centre, and a voxel extends beyond its centre too
    scale = np.abs(geometry.detector_positions(1.0, 0.0, y) - geometry.detector_positions(-1.0, 0.0, y)).max() / 2
    reach = 0.5 + (margin + 0.5) * max(scale, 1e-9)
    inside = (index >= first[:, None, None] - reach) & (index <= last[:, None, None] + reach)
    return np.asarray(inside.all(0))


def _find_edges(row: NDArray[np.float64], threshold: float) -> tuple[float, float]:
    """Return the first and the last crossing of the threshold, between pixels; NaN if an edge is not visible."""
    above = np.flatnonzero(ndimage.median_filter(row, 3, mode="nearest") > threshold)
    if len(above) < 2 or above[0] == 0 or above[-1] == len(row) - 1:
        return np.nan, np.nan
    edges = []
    for inner, outer in ((above[0], above[0] - 1), (above[-1], above[-1] + 1)):
        step = row[inner] - row[outer]
        share = (row[inner] - threshold) / step if step > 0 else 0.0
        edges.append(inner + (outer - inner) * float(np.clip(share, 0, 1)))
    return edges[0], edges[1]


def _find_threshold(data: NDArray[np.float64]) -> float:
    """Return the automatic threshold; the noise is measured on second differences along u, which edges change little."""
    second = np.abs(np.diff(data, n=2, axis=-1))
    noise = np.median(second) / 0.6745 / np.sqrt(6) if second.size else 0.0
    return float(max(SHARE * np.percentile(data, 99), DEVIATIONS * noise))
