"""Bodies of many forms in a slab: the heterogeneous phantom of Van Veen et al., IJMS 25 (2024) 5473, section 3.1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Annotated, ClassVar, Literal, get_args

import numpy as np
from numpy.random import Generator
from pydantic import BeforeValidator, Field

from tomoprior.simulate import solids
from tomoprior.simulate.bodies import Bodies, Body, random_rotation
from tomoprior.simulate.packing import diameter_range, pack_bodies
from tomoprior.simulate.phantoms.base import PLACES, Pair, PairOrRule, Phantom, random_stream, split_commas
from tomoprior.simulate.solids import Solid

Kind = Literal["sphere", "ellipsoid", "pyramid", "cube", "triangle", "hexagon", "disc", "cross4", "cross6"]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: Default smallest and largest diameter in voxels.
USUAL = (16.0, 64.0)

#: For each kind a solid of random proportions that a sphere of radius r just holds.
_FORMS: dict[str, Callable[[Generator, float], Solid]] = {
    "sphere": lambda rng, r: solids.Ball(r),
    "ellipsoid": lambda rng, r: solids.Ellipsoid((r, r * rng.uniform(0.45, 0.75), r * rng.uniform(0.45, 0.75))),
    "cube": lambda rng, r: solids.box(*[2 * r / 3**0.5] * 3),
    "pyramid": lambda rng, r: _scale_to_reach(solids.pyramid, r, 1.0, rng.uniform(0.8, 1.2)),
    "triangle": lambda rng, r: _scale_to_reach(lambda a, b: solids.prism(3, a, b), r, 1.0, rng.uniform(0.8, 2.0)),
    "hexagon": lambda rng, r: _scale_to_reach(lambda a, b: solids.prism(6, a, b), r, 1.0, rng.uniform(0.8, 2.0)),
    "disc": lambda rng, r: _scale_to_reach(solids.Disc, r, 1.0, rng.uniform(0.3, 0.5)),
    "cross4": lambda rng, r: _scale_to_reach(lambda a, b: solids.cross(2, a, b), r, 1.0, rng.uniform(0.25, 0.35)),
    "cross6": lambda rng, r: _scale_to_reach(lambda a, b: solids.cross(3, a, b), r, 1.0, rng.uniform(0.2, 0.3)),
}


class Shapes(Phantom):
    """Spheres, ellipsoids, pyramids, cubes, prisms, discs and crosses of random size and orientation, in a slab."""

    name: ClassVar[str] = "shapes"
    summary: ClassVar[str] = "spheres, ellipsoids, pyramids, cubes, prisms, discs and crosses, in a slab"

    kinds: Annotated[tuple[Kind, ...], BeforeValidator(split_commas)] = Field(
        KINDS, min_length=1, description=f"Kinds of bodies, from {', '.join(KINDS)}."
    )
    diameter: PairOrRule = Field(
        None,
        description="Smallest and largest diameter, in voxels, of the sphere around a body; by default 16 to 64, at most 0.8 "
        "of the thinnest side.",
    )
    density: Pair = Field((1.0, 1.0), description="Lowest and highest density; equal makes the phantom binary.")
    fill: float = Field(0.15, gt=0, le=0.5, description="Fraction of the grid to fill, as far as places are found.")

    def scene(self, shape: tuple[int, int, int], *, seed: int = 0, voxel_size: float | None = None) -> Bodies:
        """Place the bodies; see ``Phantom.scene``."""
        low, high = diameter_range(shape, self.diameter, USUAL, "shapes")
        rng = random_stream(seed, PLACES)
        kinds = _cycle_kinds(rng, self.kinds)
        lightest, heaviest = sorted(self.density)

        def draw() -> Body:
            kind = next(kinds)
            # equally many per octave of size: with uniform lengths a few large ones would fill the grid
            solid = _FORMS[kind](rng, low * (high / low) ** rng.random() / 2)
            return Body(solid, np.zeros(3), float(rng.uniform(lightest, heaviest)), random_rotation(rng), kind)

        bodies = pack_bodies(rng, shape, draw, fill=self.fill, margin=self.margin(shape))
        return Bodies(bodies, shape, self.lowpass, voxel_size or self.default_voxel, self.unit)


def _scale_to_reach(make: Callable[[float, float], Solid], radius: float, first: float, second: float) -> Solid:
    """Return a solid with the given proportions whose reach is ``radius``."""
    scale = radius / make(first, second).reach
    return make(first * scale, second * scale)


def _cycle_kinds(rng: Generator, kinds: tuple[Kind, ...]) -> Iterator[str]:
    """Yield kinds without end, each once before any repeats."""
    return chain.from_iterable(rng.permutation(list(k)).tolist() for k in repeat(kinds))
