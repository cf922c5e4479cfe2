"""Does a method show a small thing where it is, and none where there is none? Test objects added to the projections.

Full spheres are projected in closed form and added to the tilts. What the reconstruction then has more than the one without
them is its response: specimen and noise fall out, so that the response can be held against what was put in. A method that fills
in from what it has learned may pass such an object on, weaken it, move it, or answer elsewhere.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from tomoprior.comparison.result import Planted
from tomoprior.comparison.shared import Reconstruct, SharedInput
from tomoprior.geometry import Geometry
from tomoprior.simulate import Spheres

#: How many, and as many places to compare with.
COUNT = 4
#: Radius in voxels, if a sixth of the thickness allows.
RADIUS = 2.5
#: Below this radius a sphere is no sphere on the grid.
LEAST = 1.2
#: Places are apart by this many radii, from one another and from the faces by one radius and this many voxels.
APART, MARGIN = 4.0, 1.0
#: Told from the controls: so many of their standard deviations above their mean, and at least so much of the contrast.
SIGMAS, SHARE = 4.0, 0.1
#: An answer is elsewhere if it is farther than so many radii from every object.
FAR = 3.0


def place(geometry: Geometry, density: float, mask: NDArray[Any] | None, seed: int) -> Planted | None:
    """Places for the objects, seen by every tilt and inside the mask; None where there is no room."""
    nz, ny, nx = geometry.shape
    radius = min(RADIUS, nz / 6, ny / 6, nx / 6)
    if radius < LEAST:
        return None
    rng = np.random.default_rng([seed, 77])
    reach = radius + MARGIN
    inside = None if mask is None else np.broadcast_to(mask if mask.ndim == 3 else mask[:, None, :], geometry.shape)
    found: list[NDArray[np.float64]] = []
    for _ in range(20000):
        at = np.array([rng.uniform(reach, n - 1 - reach) for n in (nz, ny, nx)])
        if any(np.linalg.norm(at - other) < APART * radius for other in found) or not _seen(at, geometry, reach):
            continue
        if inside is not None and not inside[tuple(slice(int(c - reach), int(c + reach) + 2) for c in at)].all():
            continue
        found.append(at)
        if len(found) == 2 * COUNT:
            break
    if len(found) < 2:
        return None
    half = len(found) // 2
    return Planted(np.array(found[:half]), np.array(found[half : 2 * half]), float(radius), float(density))


def planted(arena: SharedInput, again: Reconstruct, volume: NDArray[np.float32]) -> dict[str, Any]:
    """Reconstruct with the objects, and find them in what that adds to ``volume``.

    Returns
    -------
    See ``tomoprior.comparison.result.Entry``. The contrast recovered is the least-squares height of the object itself in the
    response, ``<response, object> / <object, object>``; 1 is all of it.
    """
    objects = arena.planted
    assert objects is not None
    geometry = arena.series.geometry
    added = spheres(objects, geometry.shape).project(geometry)
    with_objects = replace(arena.series, projections=arena.series.projections + added)
    response = again(with_objects, "planted").volume - volume
    one = spheres(objects, geometry.shape, single=True).volume(geometry.shape)
    heights = _heights(response, one) / objects.density
    recovered, displaced = zip(*(_found(heights, at, objects.radius) for at in objects.centers), strict=True)
    controls = [_at(heights, at) for at in objects.controls]
    limit = max(float(np.mean(controls) + SIGMAS * np.std(controls)), SHARE)
    seen = [r > limit and d <= objects.radius for r, d in zip(recovered, displaced, strict=True)]
    return {
        "recovered": list(recovered),
        "displaced": list(displaced),
        "controls": controls,
        "invented": _elsewhere(heights, objects),
        "contrast": float(np.mean(recovered)),
        "found": int(sum(seen)),
        "of": len(seen),
    }


def spheres(objects: Planted, shape: tuple[int, int, int], *, single: bool = False) -> Spheres:
    """The objects as a phantom; ``single``: one of density 1 in the middle voxel of the grid, ``n // 2`` along each axis."""
    half = np.array([(n - 1) / 2 for n in shape])
    at = np.array([[n // 2 for n in shape]]) - half if single else objects.centers - half
    ones = np.ones(len(at))
    return Spheres(at, objects.radius * ones, 0 * ones, ones if single else objects.density * ones)


def _seen(at: NDArray[np.float64], geometry: Geometry, reach: float) -> bool:
    """Whether the detector has all of an object there, in every tilt."""
    nz, _, nx = geometry.shape
    z, x = at[0] - (nz - 1) / 2, at[2] - (nx - 1) / 2
    u = x * np.cos(geometry.angles) - z * np.sin(geometry.angles)
    middle = geometry.center.mean() - 0.5
    return bool(np.all((u + middle > reach) & (u + middle < geometry.detector[1] - 1 - reach)))


def _heights(response: NDArray[np.float32], one: NDArray[np.float32]) -> NDArray[np.float64]:
    """Height of an object in the response if it were at each voxel: correlation with it, over its own power."""
    middle = [n // 2 for n in one.shape]
    kernel = np.roll(one, [-m for m in middle], (0, 1, 2))
    found = fft.irfftn(fft.rfftn(response) * np.conj(fft.rfftn(kernel)), response.shape)
    return np.asarray(found / np.sum(np.square(one, dtype=np.float64)), np.float64)


def _at(heights: NDArray[np.float64], at: NDArray[np.float64]) -> float:
    """The height at a place between voxels, linear."""
    low = np.floor(at).astype(int)
    part = at - low
    total = 0.0
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(np.array(corner) == 1, part, 1 - part))
        total += float(weight * heights[tuple(low + corner)])
    return total


def _found(heights: NDArray[np.float64], at: NDArray[np.float64], radius: float) -> tuple[float, float]:
    """Height at the place, and how far from it the largest height near it lies, in voxels."""
    reach = int(np.ceil(2 * radius))
    box = tuple(slice(max(0, round(c) - reach), round(c) + reach + 1) for c in at)
    near = heights[box]
    peak = np.array(np.unravel_index(np.argmax(near), near.shape)) + [b.start for b in box]
    return _at(heights, at), float(np.linalg.norm(_refined(heights, peak) - at))


def _refined(heights: NDArray[np.float64], peak: NDArray[np.intp]) -> NDArray[np.float64]:
    """The vertex of a parabola through the peak and its neighbours, along each axis."""
    out = peak.astype(float)
    for axis, n in enumerate(heights.shape):
        if 0 < peak[axis] < n - 1:
            step = np.eye(3, dtype=int)[axis]
            below, middle, above = (heights[tuple(peak + k * step)] for k in (-1, 0, 1))
            bend = below - 2 * middle + above
            if bend < 0:
                out[axis] += float(np.clip(0.5 * (below - above) / bend, -0.5, 0.5))
    return out


def _elsewhere(heights: NDArray[np.float64], objects: Planted) -> float:
    """The largest height far from every object."""
    axes = np.ogrid[tuple(slice(n) for n in heights.shape)]
    far = np.ones(heights.shape, bool)
    for at in objects.centers:
        far &= sum((axis - c) ** 2 for axis, c in zip(axes, at, strict=True)) > (FAR * objects.radius) ** 2
    edge = int(np.ceil(objects.radius))  # the correlation is periodic: what is at one face answers at the other
    inner = tuple(slice(edge, n - edge) for n in heights.shape)
    values = heights[inner][far[inner]]
    return float(values.max()) if values.size else 0.0
