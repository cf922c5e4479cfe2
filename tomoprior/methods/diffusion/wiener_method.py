"""The method ``wiener``: the best linear estimate for a section of tissue, as a baseline for the learned prior."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.methods import arguments
from tomoprior.methods.base import ALLOCATOR_BYTES
from tomoprior.methods.diffusion import applicability
from tomoprior.methods.diffusion.conditioning import weigh_tilts
from tomoprior.methods.diffusion.measurement import padding, prepare
from tomoprior.methods.diffusion.prior import Prior, load
from tomoprior.methods.diffusion.scale import Scale
from tomoprior.methods.diffusion.section import locating_bytes, section_of
from tomoprior.methods.diffusion.settings import SeriesSettings
from tomoprior.methods.diffusion.wiener import NUM_ITER, estimate_bytes, wiener
from tomoprior.progress import Progress
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction

#: Rows on either side that tell a slab something of its own.
HALO = 16


class WienerSettings(SeriesSettings):
    """Settings of ``wiener``."""

    num_iter: int = Field(NUM_ITER, ge=1, description="Conjugate gradients.")
    prior: str | None = Field(
        None, description="Whose spectrum of tissue to use, file or name; default: the one that comes along."
    )
    check_prior: bool = Field(True, description="False: use the spectrum even for voxels that it was not measured for.")


class WienerMethod:
    """Mean of the posterior for a Gaussian prior with the tissue's spectrum inside a section, and vacuum outside."""

    name = "wiener"
    summary = "best linear estimate for a section of tissue of known spectrum"
    citation = "Wiener (1949); Tarantola, Inverse Problem Theory (2005), eq. 3.37"
    Settings = WienerSettings
    couples_slices = True
    uses_projector = True

    def _prior(self, settings: Any) -> Prior:
        return load(settings.prior or "tissue")

    def halo(self, geometry: Geometry, settings: Any) -> int:
        """Rows that a slab of a larger volume sees beyond its own."""
        return HALO

    def settings_from_pilot(self, result: Reconstruction, settings: WienerSettings, folder: Path) -> dict[str, Any]:
        """The specimen's scale and its section."""
        return settings.handed_over(result.provenance)

    def memory(self, geometry: Geometry, settings: Any) -> int:
        """Bytes at the peak beside the projections given and the prepared projector."""
        known = settings.filled or settings.faces is not None
        return ALLOCATOR_BYTES + max(estimate_bytes(geometry), 0 if known else locating_bytes(geometry))

    def cost_in_pairs(self, geometry: Geometry, settings: Any) -> float:
        """Cost in pairs of a forward projection and an adjoint."""
        return float((1 + 2 * padding(geometry) / geometry.shape[2]) * settings.num_iter * 1.5)

    def reconstruct(
        self,
        projections: torch.Tensor,
        projector: Projector,
        settings: Any,
        *,
        weights: torch.Tensor | None = None,
        initial: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        progress: Progress | None = None,
    ) -> Reconstruction:
        """See ``tomoprior.methods.Method.reconstruct``; a mask says where the section lies."""
        arguments.check_rays(self, projector.geometry)
        if initial is not None:
            raise InputError("wiener solves a linear equation; leave the initial volume out")
        arguments.check_projections(projections, projector)
        arguments.expand_weights(weights, projector)
        inside = arguments.expand_mask(mask, projector)
        prior = self._prior(settings)
        size = applicability.voxel_size(projector.geometry, prior, check=settings.check_prior)
        own = projector.with_geometry(replace(projector.geometry, voxel_size=size, unit=prior.unit))
        with torch.no_grad():
            section = section_of(projections, own, prior.spectrum, settings, weights=weights, mask=inside)
            data = prepare(
                projections, own, prior.spectrum, weights=weights, shift_std=settings.shift_std,
                offset_std=settings.offset_std, scale=None if settings.scale is None else Scale(*settings.scale),
                thickness=section.thickness,
            )  # fmt: skip
            known = section.padded(data.pad)
            if settings.robust:
                data = weigh_tilts(data, prior.spectrum, known)
            u = wiener(data, prior.spectrum, settings.num_iter, tol=0.0, inside=known)
            left, whole = data.squared_residual(u, projections)
            residual = math.sqrt(left / max(whole, 1e-30))
            volume = data.crop(u) * data.scale.gain + data.scale.mean
            volume = volume if inside is None else volume * inside
        if progress is not None:
            progress(1, 1, {"residual": residual})
        return Reconstruction(
            volume.contiguous(),
            projector.geometry,
            provenance={
                "residual": residual,
                "prior": {"name": settings.prior or "tissue", "spectrum_only": True},
                "scale": {"mean": data.scale.mean, "gain": data.scale.gain},
                "section": section.to_dict(),
                "trust": [float(v) for v in data.trust],
                "projector": projector.describe(),
            },
        )
