"""Foam: solid material with bubbles of many sizes, a common specimen and phantom of synchrotrons.

After Pelt et al., Foam-like phantoms for comparing tomography algorithms, J. Synchrotron Rad. 29 (2022) 254.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.spatial.distance import cdist

from tomoprior.errors import InputError
from tomoprior.simulate.bodies import Bodies, Body
from tomoprior.simulate.packing import GAP, grid_text
from tomoprior.simulate.phantoms.base import PLACES, PairOrRule, Phantom, random_stream
from tomoprior.simulate.scene import fine_positions
from tomoprior.simulate.solids import Ball

#: Voxels by which the bubbles extend beyond the grid along y, where shifted tilts look.
BEYOND = 20

#: Points to try at once, and failed trials in a row after which the foam is full.
BATCH, MAX_FAILURES = 64, 20

#: Least side of a grid along z and x, in voxels.
MIN_SIDE = 16


class Foam(Phantom):
    """Material of density 1 with spherical bubbles of density 0; it extends beyond the grid along y."""

    name: ClassVar[str] = "foam"
    summary: ClassVar[str] = "a cylinder or slab of solid material with bubbles of many sizes"
    unit: ClassVar[str] = "micrometer"
    default_voxel: ClassVar[float] = 1.0

    form: Literal["cylinder", "slab"] = Field("cylinder", description="A cylinder about the axis, or a slab across it.")
    diameter: PairOrRule = Field(
        None, description="Smallest and largest bubble in voxels; by default from 1/15, at least 3, to 0.4 of the thickness."
    )
    porosity: float = Field(0.3, ge=0, le=0.7, description="Fraction of the material that is bubbles, as far as they fit.")

    def scene(self, shape: tuple[int, int, int], *, seed: int = 0, voxel_size: float | None = None) -> Bodies:
        """Place the bubbles; see ``Phantom.scene``."""
        nz, ny, nx = shape
        if min(nz, nx) < MIN_SIDE:
            raise InputError(f"a grid of {grid_text(shape)} voxels is too small for foam: at least {MIN_SIDE} along z and x")
        material = Material(self.form, nz, nx)
        thickness = 2 * material.thinnest
        low, high = self.diameter or (max(3.0, thickness / 15), 0.4 * thickness)
        if not 0 < low <= high or high > thickness - 2 * GAP:
            raise InputError(f"bubbles of {low:g} to {high:g} voxels do not fit into {thickness:.1f} voxels of material")
        length = ny / 2 + high / 2 + BEYOND
        rng = random_stream(seed, PLACES)
        centers, radii = _place_bubbles(rng, material, length, low / 2, high / 2, self.porosity)
        share = float(4 / 3 * np.pi * np.sum(radii**3) / (material.area * 2 * length))
        bubbles = [Body(Ball(float(r)), c, -1.0, kind="bubble") for c, r in zip(centers, radii, strict=True)]
        return FoamScene(
            material, bubbles, shape, self.lowpass, voxel_size or self.default_voxel, self.unit, {"porosity": share}
        )


class Material:
    """The solid material, the same in every slice."""

    def __init__(self, form: str, nz: int, nx: int) -> None:
        self.form = form
        thin = min(nz, nx)
        if form == "cylinder":
            self.half = (0.45 * thin, 0.45 * thin)
            self.area = math.pi * self.half[0] ** 2
        else:
            # every tilt sees its edges
            self.half = (0.35 * thin, math.sqrt((0.48 * nx) ** 2 - (0.35 * thin) ** 2))
            self.area = 4 * self.half[0] * self.half[1]
        self.thinnest = min(self.half)

    def depth(self, z: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
        """Return the depth of a point below the surface, negative outside."""
        if self.form == "cylinder":
            return np.asarray(self.half[0] - np.sqrt(z**2 + x**2))
        return np.asarray(np.minimum(self.half[0] - np.abs(z), self.half[1] - np.abs(x)))


class FoamScene(Bodies):
    """Bubbles, of density -1, in a material of density 1."""

    def __init__(self, material: Material, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.material = material

    def paint(self, start: int, stop: int, supersample: int) -> NDArray[np.float32]:
        """Return the material without the bubbles."""
        out = super().paint(start, stop, supersample)
        z, x = fine_positions(self.shape[0], supersample), fine_positions(self.shape[2], supersample)
        out += (self.material.depth(z[:, None], x[None, :]) >= 0)[:, None, :]
        return out


def _place_bubbles(
    rng: np.random.Generator, material: Material, length: float, low: float, high: float, porosity: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return centres and radii of bubbles: equally likely per octave, shrunk to the free space, never below ``low``."""
    centers, radii = np.zeros((0, 3)), np.zeros(0)
    target, taken, failures = porosity * material.area * 2 * length, 0.0, 0
    while taken < target and failures < MAX_FAILURES:
        points = rng.uniform(-1, 1, (BATCH, 3)) * [material.half[0], length, material.half[1]]
        wanted = low * (high / low) ** rng.random()
        free = material.depth(points[:, 0], points[:, 2]) - GAP
        if len(radii):
            gaps = cdist(points, centers) - radii
            free = np.minimum(free, gaps.min(axis=1) - GAP)
        fits = np.flatnonzero(free >= wanted)
        # where the wanted radius fits nowhere, the roomiest place gets the largest that fits
        best = int(fits[0]) if len(fits) else int(np.argmax(free))
        radius = min(wanted, float(free[best]))
        if radius < low:
            failures += 1
            continue
        centers, radii = np.vstack([centers, points[best]]), np.append(radii, radius)
        taken, failures = taken + 4 / 3 * math.pi * radius**3, 0
    return centers, radii
