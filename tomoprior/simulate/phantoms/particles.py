"""Particles: density maps such as ribosomes, at random places and in random orientations, in a slab."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field
from scipy.ndimage import gaussian_filter, map_coordinates

from tomoprior.errors import InputError, NoSuchFileError
from tomoprior.formats import open_stack
from tomoprior.simulate.bodies import random_rotation
from tomoprior.simulate.packing import MAX_SHARE, MIN_SIDE, grid_text, pack_spheres
from tomoprior.simulate.phantoms.base import PLACES, Phantom, random_stream, split_commas
from tomoprior.simulate.phantoms.files import DATA, find_data_file
from tomoprior.simulate.scene import Scene, fine_positions
from tomoprior.storage.digest import compute_file_digest
from tomoprior.units import convert_length

#: Share of the grid's smallest side that the largest particle takes up by default.
GRID_SHARE = 0.6

#: Values below this fraction of a particle's density are noise around it and set to zero.
NOISE_LEVEL = 0.1

_Files = Annotated[tuple[Path, ...] | None, BeforeValidator(lambda v: (v,) if isinstance(v, Path) else split_commas(v))]


@dataclass(frozen=True, eq=False)
class Map:
    """A particle's density, about 1 inside and 0 outside; ``center`` is its centre of mass (z, y, x), in its own voxels."""

    name: str
    density: NDArray[np.float32]
    center: NDArray[np.float64]
    radius: float
    voxel_size: float
    digest: str


class Particles(Phantom):
    """Copies of density maps that do not overlap, equally many of each kind."""

    name: ClassVar[str] = "particles"
    summary: ClassVar[str] = "density maps (MRC files), turned at random, in a slab"

    file: _Files = Field(None, description="Density maps; by default all in maps/ of the folder that TOMOPRIOR_DATA names.")
    fill: float = Field(0.3, gt=0, le=0.6, description="Fraction of the grid that spheres around the particles fill.")
    lowpass: float = Field(0.5, ge=0, description="Gaussian low-pass, standard deviation in voxels.")

    def scene(self, shape: tuple[int, int, int], *, seed: int = 0, voxel_size: float | None = None) -> Scene:
        """Place the particles; see ``Phantom.scene``. By default the largest takes up 0.6 of the smallest side."""
        if min(shape) < MIN_SIDE:
            raise InputError(
                f"a grid of {grid_text(shape)} voxels is too small for particles: at least {MIN_SIDE} along every axis"
            )
        maps = [read_map(path) for path in self.files()]
        largest = max(m.radius * m.voxel_size for m in maps)
        size = voxel_size or 2 * largest / (GRID_SHARE * min(shape))
        if 2 * largest > MAX_SHARE * size * min(shape):
            raise InputError(
                f"a particle {2 * largest:.0f} angstrom across does not fit into {grid_text(shape)} voxels (z, y, x) of "
                f"{size:g} angstrom: it fits from {2 * largest / (GRID_SHARE * min(shape)):.3g}"
            )
        rng = random_stream(seed, PLACES)
        reach = [m.radius * m.voxel_size / size for m in maps]
        centers, _ = pack_spheres(rng, shape, lambda n: reach[n % len(maps)], fill=self.fill, margin=self.margin(shape))
        placed = [Particle(maps[n % len(maps)], center, random_rotation(rng)) for n, center in enumerate(centers)]
        return ParticleScene(placed, shape, self.lowpass, size, self.unit)

    def files(self) -> list[Path]:
        """Return the maps to read; raise NoSuchFileError if there are none."""
        if self.file is not None:
            return [find_data_file(path, "", self.name) for path in self.file]
        folder = os.environ.get(DATA)
        maps = sorted((Path(folder) / "maps").glob("*.mrc")) if folder else []
        if not maps:
            raise NoSuchFileError(f"{self.name} needs density maps (--file, file=), or {DATA} to name a folder with maps/*.mrc")
        return maps


@dataclass(frozen=True, eq=False)
class Particle:
    """A map with its centre of mass at ``center`` (Z, Y, X). ``rotation`` takes directions of the grid to the map's."""

    map: Map
    center: NDArray[np.float64]
    rotation: NDArray[np.float64]


class ParticleScene(Scene):
    """Particles, resampled from their maps by linear interpolation."""

    def __init__(
        self, particles: Sequence[Particle], shape: tuple[int, int, int], sigma: float, voxel_size: float, unit: str
    ) -> None:
        kinds = Counter(p.map.name for p in particles)
        facts = {"particles": dict(sorted(kinds.items())), "sha256": {p.map.name: p.map.digest for p in particles}}
        super().__init__(shape, sigma, voxel_size, unit, facts)
        self.particles = tuple(particles)

    def paint(self, start: int, stop: int, supersample: int) -> NDArray[np.float32]:
        """Return the density of the particles at the centres of the fine voxels."""
        nz, ny, nx = self.shape
        axes = (fine_positions(nz, supersample), fine_positions(ny, supersample, start, stop), fine_positions(nx, supersample))
        out = np.zeros([len(axis) for axis in axes], np.float32)
        maps = {id(p.map): _smooth_map(p.map, self.voxel_size / supersample) for p in self.particles}
        for particle in self.particles:
            one = particle.map
            ratio = self.voxel_size / one.voxel_size
            reach = one.radius / ratio
            bounds = [np.searchsorted(axis, [c - reach, c + reach]) for axis, c in zip(axes, particle.center, strict=True)]
            at = tuple(slice(int(low), int(high)) for low, high in bounds)
            if any(part.stop == part.start for part in at):
                continue
            grid = np.meshgrid(
                *(axis[part] - c for axis, part, c in zip(axes, at, particle.center, strict=True)), indexing="ij"
            )
            points = np.tensordot(particle.rotation * ratio, np.stack(grid), axes=1) + one.center[:, None, None, None]
            out[at] += map_coordinates(maps[id(one)], points, order=1, mode="constant")
        return out


def _smooth_map(one: Map, fine: float) -> NDArray[np.float32]:
    """Return a map without the detail that voxels of size ``fine`` cannot show."""
    ratio = fine / one.voxel_size
    return one.density if ratio <= 1 else np.asarray(gaussian_filter(one.density, 0.5 * math.sqrt(ratio**2 - 1)))


def read_map(path: Path) -> Map:
    """Return a density map with zero background and a mean of 1 over its inside.

    The background is the median over the border. The inside is everything above half of the 99.9th percentile; values below a
    tenth of its mean are set to zero.

    Raises
    ------
    InputError
        If the file states no voxel size or shows nothing.
    FormatError
        If the file cannot be read.
    """
    stack = open_stack(path)
    if stack.unit == "pixel":
        raise InputError(f"{path}: states no voxel size, so that it cannot be put on a grid")
    values = np.asarray(stack.data[...], dtype=np.float32)
    if values.ndim != 3 or min(values.shape) < 3 or not np.all(np.isfinite(values)):
        raise InputError(f"{path}: a density map has three axes and finite values")
    border = np.concatenate([values[[0, -1]].ravel(), values[:, [0, -1]].ravel(), values[:, :, [0, -1]].ravel()])
    values = values - np.median(border)
    top = float(np.quantile(values, 0.999))
    if top <= 0:
        raise InputError(f"{path}: nothing in it stands out from its border")
    values /= values[values > top / 2].mean()
    values[values < NOISE_LEVEL] = 0
    inside = np.argwhere(values > 0)
    center = np.average(inside, axis=0, weights=values[values > 0])
    radius = float(np.linalg.norm(inside - center, axis=1).max()) + 1
    return Map(
        path.name, values, center, radius, convert_length(stack.voxel_size, stack.unit, "angstrom"), compute_file_digest(path)
    )
