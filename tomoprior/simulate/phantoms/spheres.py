"""Hollow spheres in a slab: the first phantom of Van Veen et al., IJMS 25 (2024) 5473, section 3.1."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tomoprior.simulate.bodies import Bodies, Body
from tomoprior.simulate.packing import diameter_range, pack_spheres
from tomoprior.simulate.phantoms.base import PLACES, PairOrRule, Phantom, random_stream
from tomoprior.simulate.solids import Ball

#: Default smallest and largest diameter in voxels.
USUAL = (16.0, 64.0)


class HollowSpheres(Phantom):
    """Hollow spheres of density 1 that do not overlap, in a slab."""

    name: ClassVar[str] = "spheres"
    summary: ClassVar[str] = "hollow spheres of density 1, in a slab"

    diameter: PairOrRule = Field(
        None, description="Smallest and largest diameter in voxels; by default 16 to 64, at most 0.8 of the thinnest side."
    )
    wall: float = Field(0.3, gt=0, le=1, description="Thickness of the wall as a fraction of the radius; 1: full spheres.")
    fill: float = Field(0.25, gt=0, le=0.6, description="Fraction of the grid to fill, as far as places are found.")

    def scene(self, shape: tuple[int, int, int], *, seed: int = 0, voxel_size: float | None = None) -> Bodies:
        """Place the spheres; see ``Phantom.scene``."""
        low, high = diameter_range(shape, self.diameter, USUAL, "spheres")
        rng = random_stream(seed, PLACES)
        centers, radii = pack_spheres(
            rng, shape, lambda _: float(rng.uniform(low, high)) / 2, fill=self.fill, margin=self.margin(shape)
        )
        balls = [
            Body(Ball(float(r), 0.0 if self.wall == 1 else float(r) * (1 - self.wall)), c, kind="sphere")
            for c, r in zip(centers, radii, strict=True)
        ]
        return Bodies(balls, shape, self.lowpass, voxel_size or self.default_voxel, self.unit)
