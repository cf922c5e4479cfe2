"""The section's position in the grid: given by the user, or found from the tilts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch

from tomoprior import memory
from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.methods.diffusion.conditioning import weigh_tilts
from tomoprior.methods.diffusion.data_statistics import estimate_noise_variance, fill_excluded_rays
from tomoprior.methods.diffusion.face_posterior import estimate_search_bytes, find_faces
from tomoprior.methods.diffusion.measurement_model import prepare_model
from tomoprior.methods.diffusion.ray_geometry import compute_padding, mark_used_rays
from tomoprior.methods.diffusion.settings import SeriesSettings
from tomoprior.methods.diffusion.slab_likelihood import ROUGHNESS
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.methods.diffusion.wiener import estimate_wiener_bytes
from tomoprior.projector import Projector

#: Number of rows of a series that the search for its faces uses: more rows add little.
ROWS = 160

#: Number of arrays of these rows' size in memory during the search for the faces.
RAY_ARRAYS = 9


@dataclass(frozen=True)
class Section:
    """A section's position and the uncertainty of its faces.

    Attributes
    ----------
    inside
        Probability that a voxel lies inside, ``(nz, ny or 1, nx or 1)`` of the user's grid.
    thickness
        Expected mean thickness, voxels.
    face_std
        Standard deviation of a face's mean height, voxels.
    source
        ``given`` (by the user), ``found`` (from the tilts) or ``assumed`` (too few tilts).
    faces
        Expected heights of both faces above the grid's lower edge, voxels.
    """

    inside: torch.Tensor
    thickness: float
    face_std: float
    source: str
    faces: tuple[float, float]

    def padded(self, pad: int) -> torch.Tensor:
        """Return ``inside`` on a grid with ``pad`` more voxels at either end of x, where the edge values are repeated."""
        if self.inside.shape[2] == 1:
            return self.inside
        left, right = (self.inside[..., [i]].expand(*self.inside.shape[:-1], pad) for i in (0, -1))
        return torch.cat([left, self.inside, right], dim=-1)

    def select_rows(self, rows: range) -> Section:
        """Return the section with ``inside`` for some rows only."""
        if self.inside.shape[1] == 1:
            return self
        return replace(self, inside=self.inside[:, rows.start : rows.stop])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a record."""
        profile = [min(max(float(v), 0.0), 1.0) for v in self.inside.mean((1, 2))]
        values = {"source": self.source, "thickness": self.thickness, "face_std": self.face_std, "faces": list(self.faces)}
        return {**values, "profile": profile}


def compute_expected_profile(nz: int, low: float, high: float, low_std: float, high_std: float) -> torch.Tensor:
    """Return the probability that a voxel lies between two faces whose heights are normally distributed, ``(nz,)``."""
    z = torch.arange(nz, dtype=torch.float64) + 0.5

    def probability_above(face: float, std: float) -> torch.Tensor:
        # a voxel has a height of 1: its points have the variance 1/12 about its centre
        probability: torch.Tensor = torch.special.ndtr((z - face) / math.hypot(std, math.sqrt(1 / 12)))
        return probability

    return (probability_above(low, low_std) * (1 - probability_above(high, high_std))).float()


def section_from_mask(mask: torch.Tensor) -> Section:
    """Return the section of a mask ``(nz, ny, nx)`` of zeros and ones, or of shares between them.

    Raises
    ------
    InputError
        If the mask is empty.
    """
    inside = mask.float().clamp(0, 1)
    column = inside.sum(0)
    thickness = float(column[column > 0].mean()) if bool((column > 0).any()) else 0.0
    if thickness == 0:
        raise InputError("the mask is empty: it contains no section")
    z = torch.arange(len(inside), device=inside.device)[:, None, None] + 0.5
    middle = float((inside * z).sum() / inside.sum())
    return Section(inside, thickness, 0.0, "given", (middle - thickness / 2, middle + thickness / 2))


def section_from_faces(nz: int, faces: tuple[float, float], face_std: float, device: torch.device) -> Section:
    """Return a section between two heights with rough faces; a height at the grid's ends or beyond is no face.

    Raises
    ------
    InputError
        If the section lies outside the grid.
    """
    low, high = max(faces[0], 0.0), min(faces[1], float(nz))
    if not low < high:
        raise InputError(f"faces at {faces[0]:g} and {faces[1]:g} lie outside a grid of {nz} voxels along z")
    std = math.hypot(face_std, ROUGHNESS)
    inside = compute_expected_profile(nz, *faces, std, std) if (low, high) != (0.0, float(nz)) or face_std else torch.ones(nz)
    return Section(inside[:, None, None].to(device), high - low, face_std, "given", (low, high))


def estimate_locating_bytes(geometry: Geometry) -> int:
    """Return the peak memory of ``locate_section`` in bytes, without the projections and the projector."""
    used = geometry.rows(0, min(geometry.shape[1], ROWS))
    rays = used.n_angles * used.shape[1] * used.detector[1]
    return max(estimate_wiener_bytes(used), 4 * RAY_ARRAYS * rays + estimate_search_bytes(used))


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
) -> Section:
    """Return the section that is found from the tilts; see ``face_posterior.find_faces``.

    Parameters
    ----------
    projections, projector, weights
        The arguments of a method, with the voxel size in the prior's unit; only the middle rows are used.
    robust
        Leave out tilts that do not agree with the others.
    """
    geometry = projector.geometry
    ny = geometry.shape[1]
    first = max(0, (ny - ROWS) // 2)
    rows = slice(first, min(ny, first + ROWS))
    projections, geometry = projections[:, rows], geometry.rows(rows.start, rows.stop)
    if weights is not None and weights.ndim == 3:
        weights = weights[:, rows]
    data = prepare_model(projections, projector.with_geometry(geometry), spectrum, weights=weights)
    tilt_weights = weigh_tilts(data, spectrum, flat=flat).tilt_weights if robust else data.tilt_weights
    del data
    memory.release_free_memory()
    valid = mark_used_rays(geometry, compute_padding(geometry)).to(projections.device)
    if weights is not None:
        counted = ((weights if weights.ndim == 3 else weights[:, None, None]) > 0).expand(projections.shape)
        projections, valid = fill_excluded_rays(projections, counted), valid * counted
    faces = find_faces(
        projections, geometry, spectrum, noise=estimate_noise_variance(projections), valid=valid, tilt_weights=tilt_weights,
        thickness=thickness, thickness_std=thickness_std,
    )  # fmt: skip
    memory.release_free_memory()  # the next steps have arrays of other sizes
    face_std = math.sqrt((faces.low_std**2 + faces.high_std**2) / 2)
    inside = faces.profile.float().to(projections.device)[:, None, None]
    return Section(inside, faces.thickness, face_std, "found" if faces.measured else "assumed", (faces.low, faces.high))


def determine_section(
    projections: torch.Tensor,
    projector: Projector,
    spectrum: Spectrum,
    settings: SeriesSettings,
    *,
    weights: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
    flat: bool = False,
) -> Section:
    """Return the section of a mask or of the settings (``faces``, ``filled``), otherwise find it from the tilts."""
    geometry = projector.geometry
    nz = geometry.shape[0]
    if mask is not None and (settings.scale is None or bool(mask.any())):
        return section_from_mask(mask.expand(geometry.shape))
    if settings.filled or mask is not None:  # a slab of a larger volume may lie outside the mask
        return section_from_faces(nz, (0.0, float(nz)), 0.0, projections.device)
    if settings.faces is not None and settings.profile is not None:
        if len(settings.profile) != nz:
            raise InputError(f"the profile has {len(settings.profile)} planes and the grid {nz}")
        inside = torch.tensor(settings.profile, device=projections.device)[:, None, None]
        low, high = settings.faces
        return Section(inside, high - low, settings.face_std, "found", (low, high))
    if settings.faces is not None:
        return section_from_faces(nz, settings.faces, settings.face_std, projections.device)
    return locate_section(
        projections, projector, spectrum, weights=weights, thickness=settings.thickness,
        thickness_std=settings.thickness_std, robust=settings.robust, flat=flat,
    )  # fmt: skip
