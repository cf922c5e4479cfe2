"""Where the section lies in the grid, as a method knows it: given by the user, or found from the tilts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from tomoprior import memory
from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.methods.diffusion.conditioning import weigh_tilts
from tomoprior.methods.diffusion.faces import find_section, finding_bytes
from tomoprior.methods.diffusion.measurement import fill_uncounted, noise_variance, padding, prepare, used_rays
from tomoprior.methods.diffusion.settings import SeriesSettings
from tomoprior.methods.diffusion.slab_likelihood import ROUGHNESS
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.methods.diffusion.wiener import estimate_bytes
from tomoprior.projector import Projector

#: Rows of a series that its faces are found from: more tell little more.
ROWS = 160

#: Arrays of these rows' size that stand beside the search for its faces.
RAY_ARRAYS = 9


@dataclass(frozen=True)
class KnownSection:
    """A section as far as it is known.

    Attributes
    ----------
    inside
        Probability that a voxel lies inside, ``(nz, ny or 1, nx or 1)`` of the grid that was asked for.
    thickness
        Expected mean thickness, voxels.
    face_std
        Standard deviation of a face's mean height, voxels.
    source
        ``given``, ``found`` or ``assumed``, where the tilts were too few to tell.
    faces
        Expected heights of both faces from the grid's lower edge, voxels.
    """

    inside: torch.Tensor
    thickness: float
    face_std: float
    source: str
    faces: tuple[float, float]

    def padded(self, pad: int) -> torch.Tensor:
        """``inside`` on a grid wider by ``pad`` voxels at either end of x, where it goes on as at the edge."""
        if self.inside.shape[2] == 1:
            return self.inside
        left, right = (self.inside[..., [i]].expand(*self.inside.shape[:-1], pad) for i in (0, -1))
        return torch.cat([left, self.inside, right], dim=-1)

    def rows(self, rows: range) -> KnownSection:
        """Of some rows only."""
        if self.inside.shape[1] == 1:
            return self
        part = self.inside[:, rows.start : rows.stop]
        return KnownSection(part, self.thickness, self.face_std, self.source, self.faces)

    def to_dict(self) -> dict[str, Any]:
        """For a record."""
        profile = [min(max(float(v), 0.0), 1.0) for v in self.inside.mean((1, 2))]
        values = {"source": self.source, "thickness": self.thickness, "face_std": self.face_std, "faces": list(self.faces)}
        return {**values, "profile": profile}


def expected_profile(nz: int, low: float, high: float, low_std: float, high_std: float) -> torch.Tensor:
    """Probability that a voxel lies between two faces whose heights are normally distributed, ``(nz,)``."""
    z = torch.arange(nz, dtype=torch.float64) + 0.5

    def above(face: float, std: float) -> torch.Tensor:
        # a voxel is cut over its own height: the standard deviation of a uniform number
        share: torch.Tensor = torch.special.ndtr((z - face) / math.hypot(std, math.sqrt(1 / 12)))
        return share

    return (above(low, low_std) * (1 - above(high, high_std))).float()


def from_mask(mask: torch.Tensor) -> KnownSection:
    """The section that a mask ``(nz, ny, nx)`` of zeros and ones, or shares, says.

    Raises
    ------
    InputError
        If it is empty.
    """
    inside = mask.float().clamp(0, 1)
    column = inside.sum(0)
    thickness = float(column[column > 0].mean()) if bool((column > 0).any()) else 0.0
    if thickness == 0:
        raise InputError("the mask is empty: it says that there is no section")
    z = torch.arange(len(inside), device=inside.device)[:, None, None] + 0.5
    middle = float((inside * z).sum() / inside.sum())
    return KnownSection(inside, thickness, 0.0, "given", (middle - thickness / 2, middle + thickness / 2))


def from_faces(nz: int, faces: tuple[float, float], face_std: float, device: torch.device) -> KnownSection:
    """A section between two heights, its faces rough as sections' are; faces at the grid's ends or beyond are no faces.

    Raises
    ------
    InputError
        If it lies outside the grid.
    """
    low, high = max(faces[0], 0.0), min(faces[1], float(nz))
    if not low < high:
        raise InputError(f"faces at {faces[0]:g} and {faces[1]:g} lie outside a grid of {nz} voxels along z")
    std = math.hypot(face_std, ROUGHNESS)
    inside = expected_profile(nz, *faces, std, std) if (low, high) != (0.0, float(nz)) or face_std else torch.ones(nz)
    return KnownSection(inside[:, None, None].to(device), high - low, face_std, "given", (low, high))


def locating_bytes(geometry: Geometry) -> int:
    """Bytes that ``locate_section`` takes beside the projections and the projector."""
    seen = geometry.rows(0, min(geometry.shape[1], ROWS))
    rays = seen.n_angles * seen.shape[1] * seen.detector[1]
    return max(estimate_bytes(seen), 4 * RAY_ARRAYS * rays + finding_bytes(seen))


def locate_section(
    projections: torch.Tensor,
    projector: Projector,
    spectrum: Spectrum,
    *,
    weights: torch.Tensor | None = None,
    thickness: float | None = None,
    thickness_std: float | None = None,
    robust: bool = True,
    flat: bool = False,
) -> KnownSection:
    """The section as the tilts show it; see ``faces.find_section``.

    Parameters
    ----------
    projections, projector, weights
        As a method takes them, with the voxel size in the prior's unit; their middle rows are looked at.
    robust
        Leave out tilts that do not fit with the others.
    """
    geometry = projector.geometry
    ny = geometry.shape[1]
    first = max(0, (ny - ROWS) // 2)
    rows = slice(first, min(ny, first + ROWS))
    projections, geometry = projections[:, rows], geometry.rows(rows.start, rows.stop)
    if weights is not None and weights.ndim == 3:
        weights = weights[:, rows]
    data = prepare(projections, projector.with_geometry(geometry), spectrum, weights=weights)
    trust = weigh_tilts(data, spectrum, flat=flat).trust if robust else data.trust
    del data
    memory.release_free_memory()
    valid = used_rays(geometry, padding(geometry)).to(projections.device)
    if weights is not None:
        counted = ((weights if weights.ndim == 3 else weights[:, None, None]) > 0).expand(projections.shape)
        projections, valid = fill_uncounted(projections, counted), valid * counted
    found = find_section(
        projections, geometry, spectrum, noise=noise_variance(projections), valid=valid, trust=trust, thickness=thickness,
        thickness_std=thickness_std,
    )  # fmt: skip
    memory.release_free_memory()  # what follows has arrays of other sizes
    face_std = math.sqrt((found.low_std**2 + found.high_std**2) / 2)
    inside = found.profile.float().to(projections.device)[:, None, None]
    return KnownSection(inside, found.thickness, face_std, "found" if found.measured else "assumed", (found.low, found.high))


def section_of(
    projections: torch.Tensor,
    projector: Projector,
    spectrum: Spectrum,
    settings: SeriesSettings,
    *,
    weights: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
    flat: bool = False,
) -> KnownSection:
    """The section that a mask or the settings (``faces``, ``thickness``, ``filled``) give, or that the tilts show."""
    geometry = projector.geometry
    nz = geometry.shape[0]
    if mask is not None and (settings.scale is None or bool(mask.any())):
        return from_mask(mask.expand(geometry.shape))
    if settings.filled or mask is not None:  # a slab of a larger volume may lie beside the mask
        return from_faces(nz, (0.0, float(nz)), 0.0, projections.device)
    if settings.faces is not None and settings.profile is not None:
        if len(settings.profile) != nz:
            raise InputError(f"the profile has {len(settings.profile)} planes and the grid {nz}")
        inside = torch.tensor(settings.profile, device=projections.device)[:, None, None]
        low, high = settings.faces
        return KnownSection(inside, high - low, settings.face_std, "found", (low, high))
    if settings.faces is not None:
        return from_faces(nz, settings.faces, settings.face_std, projections.device)
    return locate_section(
        projections, projector, spectrum, weights=weights, thickness=settings.thickness,
        thickness_std=settings.thickness_std, robust=settings.robust, flat=flat,
    )  # fmt: skip
