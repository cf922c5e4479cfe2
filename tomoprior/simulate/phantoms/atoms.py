"""Densities of atomic models: a PDB or mmCIF file, with the symmetry of its biological assembly on request.

Every atom is a Gaussian of a weight equal to its atomic number; hydrogens and waters are left out. A value of 1 is the mean
density of protein: 6.7 electrons of an average heavy atom (carbon, nitrogen, oxygen, sulfur) in the 17 cubic angstrom that it
occupies with its hydrogens. The sum over the voxels times a voxel's volume therefore does not depend on the grid,
and the inside of a protein is about 1 where the resolution is low.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomoprior.errors import InputError, MissingDependencyError
from tomoprior.simulate.bodies import random_rotation
from tomoprior.simulate.packing import MIN_SIDE, grid_text
from tomoprior.simulate.phantoms.base import PLACES, Phantom, random_stream
from tomoprior.simulate.phantoms.files import find_data_file
from tomoprior.simulate.scene import Scene
from tomoprior.storage.digest import compute_file_digest

#: Electrons per cubic angstrom at a value of 1: the mean over protein, without hydrogens.
PROTEIN_DENSITY = 6.7 / 17.0

#: Standard deviation of the Gaussian of an atom over the resolution, as in UCSF Chimera's ``molmap``.
WIDTH = 0.225

#: The default resolution: in voxels, so that they show it without aliasing, and at least in angstrom, where atoms merge into
#: chains.
RESOLUTION_VOXELS, MIN_RESOLUTION = 3.0, 5.0

#: Share of the grid's smallest side that the model takes up by default.
GRID_SHARE = 0.82


class Atoms(Phantom):
    """One atomic model in the middle of the grid."""

    default_file: ClassVar[str]

    file: Path | None = Field(None, description="PDB or mmCIF file; by default one in the folder that TOMOPRIOR_DATA names.")
    assembly: str | None = Field(None, description="Biological assembly to build, as the file names it; none: as deposited.")
    resolution: float | None = Field(
        None,
        gt=0,
        description="Resolution in angstrom: Gaussians of a standard deviation of 0.225 times that; by default 3 voxels, at "
        "least 5.",
    )
    turned: bool = Field(True, description="Turn the model at random, by the seed.")
    lowpass: float = Field(0.0, ge=0, description="Additional Gaussian low-pass, standard deviation in voxels.")

    def scene(self, shape: tuple[int, int, int], *, seed: int = 0, voxel_size: float | None = None) -> Scene:
        """Put the model into the grid; see ``Phantom.scene``. By default it takes up 0.82 of the smallest side."""
        if min(shape) < MIN_SIDE:
            raise InputError(
                f"a grid of {grid_text(shape)} voxels is too small for a model: at least {MIN_SIDE} along every axis"
            )
        path = find_data_file(self.file, self.default_file, self.name)
        points, weights = read_atoms(path, self.assembly)
        points = points - np.average(points, axis=0, weights=weights)
        radius = float(np.linalg.norm(points, axis=1).max())
        size = voxel_size or 2 * radius / (GRID_SHARE * min(shape))
        if 2 * radius > size * min(shape):
            raise InputError(
                f"{path.name} is {2 * radius:.0f} angstrom across and does not fit into {grid_text(shape)} voxels (z, y, x) of "
                f"{size:g} angstrom: it fits from {2 * radius / (GRID_SHARE * min(shape)):.3g}"
            )
        if self.turned:
            points = points @ random_rotation(random_stream(seed, PLACES)).T
        resolution = self.resolution or max(MIN_RESOLUTION, RESOLUTION_VOXELS * size)
        sigma = float(np.hypot(WIDTH * resolution / size, self.lowpass))
        facts = {
            "file": path.name, "sha256": compute_file_digest(path), "atoms": len(points), "radius": radius,
            "resolution": resolution,
        }  # fmt: skip
        return AtomScene(points[:, ::-1] / size, weights / (PROTEIN_DENSITY * size**3), shape, sigma, size, self.unit, facts)


class Capsid(Atoms):
    """A virus capsid with all its symmetry copies."""

    name: ClassVar[str] = "capsid"
    summary: ClassVar[str] = "an icosahedral virus from its atoms and symmetry operators (1f2n.cif)"
    default_file: ClassVar[str] = "models/1f2n.cif"

    assembly: str | None = Field("1", description="Biological assembly to build, as the file names it; none: as deposited.")


class Protein(Atoms):
    """One protein."""

    name: ClassVar[str] = "protein"
    summary: ClassVar[str] = "a protein from its atoms (1ubq.pdb)"
    default_file: ClassVar[str] = "models/1ubq.pdb"


class AtomScene(Scene):
    """Atoms at ``points`` (Z, Y, X in voxels from the middle) of these weights (mass in voxels of density 1)."""

    def __init__(self, points: NDArray[np.float64], weights: NDArray[np.float64], *arguments: Any) -> None:
        super().__init__(*arguments)
        order = np.argsort(points[:, 1])
        self.points, self.weights = points[order], weights[order]

    def fine_sigma(self, supersample: int) -> float:
        """Return the blur that is left to do: sharing an atom between eight voxels already blurs by a variance of 1/6."""
        return float(np.sqrt(max((self.sigma * supersample) ** 2 - 1 / 6, 0.0)))

    def paint(self, start: int, stop: int, supersample: int) -> NDArray[np.float32]:
        """Return the atoms, each shared between the eight fine voxels around it; mass and centre are exact."""
        s, (nz, ny, nx) = supersample, self.shape
        first, last = start - ny / 2 - 1, stop - ny / 2 + 1
        low, high = np.searchsorted(self.points[:, 1], [first, last])
        size = np.array([nz, stop - start, nx]) * s
        at = (self.points[low:high] + np.array([nz / 2, ny / 2 - start, nx / 2])) * s - 0.5
        base = np.floor(at).astype(np.int64)
        part = at - base
        out = np.zeros(int(np.prod(size)))
        for corner in np.ndindex(2, 2, 2):
            index = base + corner
            share = np.prod(np.where(corner, part, 1 - part), axis=1) * self.weights[low:high] * s**3
            inside = np.all((index >= 0) & (index < size), axis=1)
            flat = np.ravel_multi_index(tuple(index[inside].T), tuple(size))
            out += np.bincount(flat, share[inside], minlength=out.size)
        return out.reshape(size).astype(np.float32)


def read_atoms(path: Path, assembly: str | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return positions ``(n, 3)`` as x, y, z in angstrom, and atomic numbers times occupancies ``(n,)``.

    Hydrogens and waters are left out.

    Raises
    ------
    InputError
        If the file holds no model or no such assembly.
    """
    try:
        import gemmi
    except ImportError as error:
        raise MissingDependencyError(f"atomic models need gemmi ({error}); pip install gemmi") from error
    try:
        structure = gemmi.read_structure(str(path))
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as an atomic model ({' '.join(str(error).split())})") from error
    if not len(structure):
        raise InputError(f"{path}: holds no atomic model (PDB or mmCIF is expected)")
    model = structure[0]
    if assembly is not None:
        chosen = [a for a in structure.assemblies if a.name == assembly]
        if not chosen:
            known = ", ".join(a.name for a in structure.assemblies) or "none"
            raise InputError(f"{path}: holds no assembly {assembly!r}; it has: {known}")
        model = gemmi.make_assembly(chosen[0], model, gemmi.HowToNameCopiedChain.AddNumber)
    model.remove_waters()
    rows = [(*a.atom.pos.tolist(), a.atom.element.atomic_number * a.atom.occ) for a in model.all() if not a.atom.is_hydrogen()]
    if not rows:
        raise InputError(f"{path}: holds no atoms")
    table = np.array(rows)
    return table[:, :3], table[:, 3]
