"""Places for things that must not overlap, by trying at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import InputError
from tomoprior.simulate.bodies import Body
from tomoprior.simulate.scene import positions

#: Voxels between two neighbours.
GAP = 1.0

#: Give up after so many tries in a row that found no place: for spheres, which are quick to try, and for bodies of any form.
TRIES_SPHERES, TRIES_BODIES = 2000, 400

#: Places to try for one body of any form before another is drawn.
PLACES_EACH = 50

#: Of the slab's thinnest side, the most that one thing takes up.
LARGEST = 0.8

#: A grid thinner than this shows no object.
THINNEST = 8


def diameters(
    shape: tuple[int, int, int], asked: tuple[float, float] | None, usual: tuple[float, float], what: str
) -> tuple[float, float]:
    """Smallest and largest diameter in voxels: as asked, or the usual ones as far as they fit.

    Raises
    ------
    InputError
        If the grid is too small for any, or for what was asked.
    """
    thin = min(shape)
    if thin < THINNEST:
        raise InputError(f"a grid of {text(shape)} voxels is too small for {what}: at least {THINNEST} along every axis")
    if asked is None:
        high = min(usual[1], LARGEST * thin)
        return min(usual[0], high / 2), high
    low, high = asked
    if not 0 < low <= high or high > thin:
        raise InputError(f"{what} of {low:g} to {high:g} voxels do not fit into a grid of {text(shape)} (z, y, x)")
    return low, high


def text(shape: tuple[int, int, int]) -> str:
    """A grid in an error's words."""
    return " x ".join(map(str, shape))


def place(rng: np.random.Generator, shape: tuple[int, int, int], reach: float, margin: float = 0.0) -> NDArray[np.float64]:
    """A centre (Z, Y, X) for a thing of this radius, all of which every tilt then sees.

    A point at distance R from the tilt axis is seen up to R from the detector's middle, so nothing lies in the corners of the
    x-z plane. ``margin`` voxels are kept to the sides as far as there is room.
    """
    room = np.maximum(np.array(shape) / 2 - reach - margin, 0.0)
    while True:
        center = rng.uniform(-1, 1, 3) * room
        if center[0] ** 2 + center[2] ** 2 <= max(room[0], room[2]) ** 2:
            return np.asarray(center)


def spread(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    draw: Callable[[int], float],
    *,
    fill: float,
    margin: float = 0.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Spheres that do not overlap: centres ``(n, 3)`` and radii ``(n,)``.

    ``draw`` gives the radius of the next, and is told how many there are.
    ``fill`` is the fraction of the grid's volume to fill, as far as places are found.
    """
    centers, radii = np.zeros((0, 3)), np.zeros(0)
    target, taken, failed = fill * float(np.prod(shape)), 0.0, 0
    while taken < target and failed < TRIES_SPHERES:
        radius = draw(len(radii))
        center = place(rng, shape, radius, margin)
        if np.any(np.linalg.norm(centers - center, axis=1) < radii + radius + GAP):
            failed += 1
            continue
        centers, radii = np.vstack([centers, center]), np.append(radii, radius)
        taken, failed = taken + 4 / 3 * np.pi * radius**3, 0
    return centers, radii


def pack(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    draw: Callable[[], Body],
    *,
    fill: float,
    margin: float = 0.0,
) -> list[Body]:
    """Bodies of any form that do not overlap, tighter than by spheres around them: what is taken is kept voxel by voxel.

    ``draw`` gives bodies at the origin. ``fill`` as in ``spread``.
    """
    axes = [positions(n, 1) for n in shape]
    used = np.zeros(shape, bool)
    bodies: list[Body] = []
    target, taken, failed = fill * float(np.prod(shape)), 0.0, 0
    while taken < target and failed < TRIES_BODIES:
        drawn = draw()
        # the same one at several places: if only a new one were tried, small and thin ones would win
        for _ in range(PLACES_EACH):
            failed += 1
            body = replace(drawn, center=place(rng, shape, drawn.solid.reach, margin))
            # half a voxel's diagonal more than the gap, as voxels are looked at in their middles only
            beyond = GAP + 0.9
            at = body.touched(axes, beyond)
            # most places are taken, and an eighth of the voxels tells that mostly
            sparse = tuple(slice(part.start, part.stop, 2) for part in at)
            if used[sparse][body.level([axis[part] for axis, part in zip(axes, sparse, strict=True)]) <= beyond].any():
                continue
            level = body.level([axis[part] for axis, part in zip(axes, at, strict=True)])
            if not used[at][level <= beyond].any():
                used[at] |= level <= 0
                bodies.append(body)
                taken, failed = taken + body.solid.volume, 0
                break
    return bodies
