"""Test objects that are added to the projections: whether a method shows them at their places, and nothing elsewhere.

Full spheres are projected in closed form and added to the tilts. The response is the difference between the reconstructions
with and without them. Specimen and noise cancel in it, so that it can be compared with the objects. A method that uses prior
knowledge may keep such an object, weaken it, move it, or respond elsewhere.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft

from tomoprior.comparison.result import Planted
from tomoprior.comparison.shared import Reconstruct, SharedInput
from tomoprior.geometry import Geometry
from tomoprior.microscopy import filter_images
from tomoprior.simulate import Spheres

#: Number of objects, and of places without an object (controls).
COUNT = 4
#: Radius in voxels, if a sixth of the thickness allows.
RADIUS = 2.5
#: Smallest radius in voxels: a smaller sphere is not round on the grid.
LEAST = 1.2
#: Smallest distance between centres in radii; the distance to the faces is at least one radius and MARGIN voxels.
APART, MARGIN = 4.0, 1.0
#: An object is found if its height exceeds the mean of the controls by SIGMAS of their standard deviations, and SHARE of its
#: contrast.
SIGMAS, SHARE = 4.0, 0.1
#: A response counts as invented if it is farther than this many radii from every object.
FAR = 3.0


def place_objects(geometry: Geometry, density: float, mask: NDArray[Any] | None, seed: int) -> Planted | None:
    """Return random places that every tilt sees, inside the mask; None if the grid has no room."""
    nz, ny, nx = geometry.shape
    radius = min(RADIUS, nz / 6, ny / 6, nx / 6)
    if radius < LEAST:
        return None
    rng = np.random.default_rng([seed, 77])
    reach = radius + MARGIN
    inside = None if mask is None else np.broadcast_to(mask if mask.ndim == 3 else mask[:, None, :], geometry.shape)
    places: list[NDArray[np.float64]] = []
    for _ in range(20000):
        at = np.array([rng.uniform(reach, n - 1 - reach) for n in (nz, ny, nx)])
        if any(np.linalg.norm(at - other) < APART * radius for other in places) or not _is_seen(at, geometry, reach):
            continue
        if inside is not None and not inside[tuple(slice(int(c - reach), int(c + reach) + 2) for c in at)].all():
            continue
        places.append(at)
        if len(places) == 2 * COUNT:
            break
    if len(places) < 2:
        return None
    half = len(places) // 2
    return Planted(np.array(places[:half]), np.array(places[half : 2 * half]), float(radius), float(density))


def planted(
    shared: SharedInput, reconstruct: Reconstruct, volume: NDArray[np.float32]
) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Reconstruct with the objects, and find them in the difference from ``volume``.

    Returns
    -------
    evidence
        See ``tomoprior.comparison.result.Entry``. The recovered contrast is the least-squares height of the object in the
        response, ``<response, object> / <object, object>``; 1 is the full contrast.
    response
        The reconstruction with the objects minus ``volume``, shape ``(nz, ny, nx)``.
    """
    objects = shared.planted
    assert objects is not None
    geometry = shared.series.geometry
    added = make_spheres(objects, geometry.shape).project(geometry)
    if shared.series.transfer is not None:  # the microscope acts on the objects too
        added = filter_images(*map(torch.from_numpy, (added, shared.series.transfer))).numpy()
    with_objects = replace(shared.series, projections=shared.series.projections + added)
    response = reconstruct(with_objects, "planted").volume - volume
    single = make_spheres(objects, geometry.shape, single=True).volume(geometry.shape)
    heights = _fit_heights(response, single) / objects.density
    recovered, displaced = zip(*(_find_object(heights, at, objects.radius) for at in objects.centers), strict=True)
    controls = [_interpolate(heights, at) for at in objects.controls]
    limit = max(float(np.mean(controls) + SIGMAS * np.std(controls)), SHARE)
    found = [r > limit and d <= objects.radius for r, d in zip(recovered, displaced, strict=True)]
    evidence = {
        "recovered": list(recovered),
        "displaced": list(displaced),
        "controls": controls,
        "invented": _largest_elsewhere(heights, objects),
        "contrast": float(np.mean(recovered)),
        "found": int(sum(found)),
        "of": len(found),
    }
    return evidence, response


def make_spheres(objects: Planted, shape: tuple[int, int, int], *, single: bool = False) -> Spheres:
    """Return the objects as a phantom; ``single``: one object of density 1 in the voxel ``n // 2`` along each axis."""
    half = np.array([(n - 1) / 2 for n in shape])
    at = np.array([[n // 2 for n in shape]]) - half if single else objects.centers - half
    ones = np.ones(len(at))
    return Spheres(at, objects.radius * ones, 0 * ones, ones if single else objects.density * ones)


def _is_seen(at: NDArray[np.float64], geometry: Geometry, reach: float) -> bool:
    """Return whether an object at this place lies on the detector in every tilt."""
    nz, _, nx = geometry.shape
    z, x = at[0] - (nz - 1) / 2, at[2] - (nx - 1) / 2
    u = x * np.cos(geometry.angles) - z * np.sin(geometry.angles)
    middle = geometry.center.mean() - 0.5
    return bool(np.all((u + middle > reach) & (u + middle < geometry.detector[1] - 1 - reach)))


def _fit_heights(response: NDArray[np.float32], single: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the height of an object at each voxel that fits the response best: correlation with the object, over its power."""
    middle = [n // 2 for n in single.shape]
    kernel = np.roll(single, [-m for m in middle], (0, 1, 2))
    product = fft.irfftn(fft.rfftn(response) * np.conj(fft.rfftn(kernel)), response.shape)
    return np.asarray(product / np.sum(np.square(single, dtype=np.float64)), np.float64)


def _interpolate(heights: NDArray[np.float64], at: NDArray[np.float64]) -> float:
    """Return the height at a place between voxels, by linear interpolation."""
    low = np.floor(at).astype(int)
    part = at - low
    total = 0.0
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(np.array(corner) == 1, part, 1 - part))
        total += float(weight * heights[tuple(low + corner)])
    return total


def _find_object(heights: NDArray[np.float64], at: NDArray[np.float64], radius: float) -> tuple[float, float]:
    """Return the height at the place, and the distance in voxels from there to the largest height nearby."""
    reach = int(np.ceil(2 * radius))
    box = tuple(slice(max(0, round(c) - reach), round(c) + reach + 1) for c in at)
    near = heights[box]
    peak = np.array(np.unravel_index(np.argmax(near), near.shape)) + [b.start for b in box]
    return _interpolate(heights, at), float(np.linalg.norm(_refine_peak(heights, peak) - at))


def _refine_peak(heights: NDArray[np.float64], peak: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the vertex of the parabola through the peak and its neighbours, along each axis."""
    out = peak.astype(float)
    for axis, n in enumerate(heights.shape):
        if 0 < peak[axis] < n - 1:
            step = np.eye(3, dtype=int)[axis]
            below, middle, above = (heights[tuple(peak + k * step)] for k in (-1, 0, 1))
            bend = below - 2 * middle + above
            if bend < 0:
                out[axis] += float(np.clip(0.5 * (below - above) / bend, -0.5, 0.5))
    return out


def _largest_elsewhere(heights: NDArray[np.float64], objects: Planted) -> float:
    """Return the largest height far from every object."""
    axes = np.ogrid[tuple(slice(n) for n in heights.shape)]
    far = np.ones(heights.shape, bool)
    for at in objects.centers:
        far &= sum((axis - c) ** 2 for axis, c in zip(axes, at, strict=True)) > (FAR * objects.radius) ** 2
    edge = int(np.ceil(objects.radius))  # the correlation is periodic: an object at one face responds at the opposite one
    inner = tuple(slice(edge, n - edge) for n in heights.shape)
    values = heights[inner][far[inner]]
    return float(values.max()) if values.size else 0.0
