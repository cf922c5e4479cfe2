"""Packing of objects that must not overlap, by random trials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import InputError
from tomoprior.simulate.bodies import Body
from tomoprior.simulate.scene import fine_positions

#: Least distance between two neighbours, in voxels.
GAP = 1.0

#: Failed trials in a row after which packing ends: for spheres, which are quick to try, and for bodies of any form.
TRIES_SPHERES, TRIES_BODIES = 2000, 400

#: Places to try for one body before another is drawn.
PLACES_EACH = 50

#: Largest share of the slab's thinnest side that one object takes up.
MAX_SHARE = 0.8

#: Least side of a grid, in voxels: a thinner one shows no object.
MIN_SIDE = 8


def diameter_range(
    shape: tuple[int, int, int], requested: tuple[float, float] | None, usual: tuple[float, float], what: str
) -> tuple[float, float]:
    """Return the smallest and largest diameter in voxels: ``requested``, or the usual ones as far as they fit.

    Parameters
    ----------
    shape
        Grid ``(nz, ny, nx)`` in voxels.
    requested, usual
        Smallest and largest diameter in voxels; ``usual`` counts where ``requested`` is None.
    what
        Name of the objects, for the message.

    Raises
    ------
    InputError
        If the grid is too small for any object, or for the requested diameters.
    """
    thin = min(shape)
    if thin < MIN_SIDE:
        raise InputError(f"a grid of {grid_text(shape)} voxels is too small for {what}: at least {MIN_SIDE} along every axis")
    if requested is None:
        high = min(usual[1], MAX_SHARE * thin)
        return min(usual[0], high / 2), high
    low, high = requested
    if not 0 < low <= high or high > thin:
        raise InputError(f"{what} of {low:g} to {high:g} voxels do not fit into a grid of {grid_text(shape)} (z, y, x)")
    return low, high


def grid_text(shape: tuple[int, int, int]) -> str:
    """Return a grid's size as text for messages."""
    return " x ".join(map(str, shape))


def draw_center(
    rng: np.random.Generator, shape: tuple[int, int, int], reach: float, margin: float = 0.0
) -> NDArray[np.float64]:
    """Return a random centre (Z, Y, X) for an object of radius ``reach`` such that every tilt sees all of it.

    A point at distance R from the tilt axis is seen up to R from the detector's middle. Therefore no object lies in the corners
    of the x-z plane. ``margin`` voxels stay free at the sides as far as there is room.
    """
    room = np.maximum(np.array(shape) / 2 - reach - margin, 0.0)
    while True:
        center = rng.uniform(-1, 1, 3) * room
        if center[0] ** 2 + center[2] ** 2 <= max(room[0], room[2]) ** 2:
            return np.asarray(center)


def pack_spheres(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    draw: Callable[[int], float],
    *,
    fill: float,
    margin: float = 0.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return spheres that do not overlap: centres ``(n, 3)`` and radii ``(n,)``.

    Parameters
    ----------
    rng
        Source of random numbers.
    shape
        Grid ``(nz, ny, nx)`` in voxels.
    draw
        ``draw(n)`` returns the radius of sphere ``n`` in voxels.
    fill
        Fraction of the grid's volume to fill, as far as places are found.
    margin
        Voxels that stay free at the sides, as far as there is room.
    """
    centers, radii = np.zeros((0, 3)), np.zeros(0)
    target, taken, failed = fill * float(np.prod(shape)), 0.0, 0
    while taken < target and failed < TRIES_SPHERES:
        radius = draw(len(radii))
        center = draw_center(rng, shape, radius, margin)
        if np.any(np.linalg.norm(centers - center, axis=1) < radii + radius + GAP):
            failed += 1
            continue
        centers, radii = np.vstack([centers, center]), np.append(radii, radius)
        taken, failed = taken + 4 / 3 * np.pi * radius**3, 0
    return centers, radii


def pack_bodies(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    draw: Callable[[], Body],
    *,
    fill: float,
    margin: float = 0.0,
) -> list[Body]:
    """Return bodies of any form that do not overlap.

    Occupied space is tracked voxel by voxel, so that bodies lie closer than spheres around them would allow.

    Parameters
    ----------
    rng, shape, fill, margin
        As for ``pack_spheres``.
    draw
        Returns a body at the origin.
    """
    axes = [fine_positions(n, 1) for n in shape]
    used = np.zeros(shape, bool)
    bodies: list[Body] = []
    target, taken, failed = fill * float(np.prod(shape)), 0.0, 0
    while taken < target and failed < TRIES_BODIES:
        drawn = draw()
        # one body is tried at several places: if a new one were drawn each time, small and thin ones would prevail
        for _ in range(PLACES_EACH):
            failed += 1
            body = replace(drawn, center=draw_center(rng, shape, drawn.solid.reach, margin))
            # half a voxel's diagonal more than the gap, because only the centres of voxels are tested
            margin_voxels = GAP + 0.9
            at = body.bounding_box(axes, margin_voxels)
            # most places are occupied, and an eighth of the voxels usually shows that
            sparse = tuple(slice(part.start, part.stop, 2) for part in at)
            if used[sparse][body.level([axis[part] for axis, part in zip(axes, sparse, strict=True)]) <= margin_voxels].any():
                continue
            level = body.level([axis[part] for axis, part in zip(axes, at, strict=True)])
            if not used[at][level <= margin_voxels].any():
                used[at] |= level <= 0
                bodies.append(body)
                taken, failed = taken + body.solid.volume, 0
                break
    return bodies
