"""The method ``wiener``: the best linear estimate of a section of tissue, a baseline for the learned prior."""

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
from tomoprior.methods.diffusion.conditioning import weigh_tilts
from tomoprior.methods.diffusion.measurement_model import prepare_model
from tomoprior.methods.diffusion.prior import Prior, load_prior
from tomoprior.methods.diffusion.ray_geometry import compute_padding
from tomoprior.methods.diffusion.scale import Scale
from tomoprior.methods.diffusion.section import determine_section, estimate_locating_bytes
from tomoprior.methods.diffusion.settings import SeriesSettings
from tomoprior.methods.diffusion.training_domain import convert_voxel_size
from tomoprior.methods.diffusion.wiener import NUM_ITER, estimate_wiener_bytes, solve_wiener
from tomoprior.progress import Progress
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction

#: Rows that a slab sees on either side of its own: farther rows hardly change the estimate.
HALO = 16


class WienerSettings(SeriesSettings):
    """Settings of ``wiener``."""

    num_iter: int = Field(NUM_ITER, ge=1, description="Number of conjugate gradient iterations.")
    prior: str | None = Field(None, description="File or name of the prior whose tissue spectrum is used; default: tissue.")
    check_prior: bool = Field(True, description="False: use the spectrum even if the voxel size is outside its measurement.")


class WienerMethod:
    """Posterior mean for a Gaussian prior with the tissue's spectrum inside a section, and vacuum outside."""

    name = "wiener"
    summary = "best linear estimate of a section of tissue of known spectrum"
    citation = "Wiener (1949); Tarantola, Inverse Problem Theory (2005), eq. 3.37"
    Settings = WienerSettings
    couples_slices = True
    uses_projector = True

    def _prior(self, settings: WienerSettings) -> Prior:
        return load_prior(settings.prior or "tissue")

    def halo(self, geometry: Geometry, settings: WienerSettings) -> int:
        """Return the number of rows that a slab of a larger volume sees on either side of its own."""
        return HALO

    def settings_from_pilot(self, result: Reconstruction, settings: WienerSettings, folder: Path) -> dict[str, Any]:
        """Return settings with the scale and the section of the pilot's result."""
        return settings.scale_and_section_from(result.provenance)

    def memory(self, geometry: Geometry, settings: WienerSettings) -> int:
        """Return the peak memory in bytes without projections and projector."""
        known = settings.filled or settings.faces is not None
        return ALLOCATOR_BYTES + max(estimate_wiener_bytes(geometry), 0 if known else estimate_locating_bytes(geometry))

    def cost_in_pairs(self, geometry: Geometry, settings: WienerSettings) -> float:
        """Return the cost in pairs of a forward projection and an adjoint."""
        return float((1 + 2 * compute_padding(geometry) / geometry.shape[2]) * settings.num_iter * 1.5)

    def reconstruct(
        self,
        projections: torch.Tensor,
        projector: Projector,
        settings: WienerSettings,
        *,
        weights: torch.Tensor | None = None,
        initial: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        progress: Progress | None = None,
    ) -> Reconstruction:
        """Reconstruct; see ``tomoprior.methods.Method.reconstruct``. A mask marks the section."""
        arguments.check_rays(self, projector.geometry)
        if initial is not None:
            raise InputError("wiener solves a linear equation; leave the initial volume out")
        arguments.check_projections(projections, projector)
        arguments.expand_weights(weights, projector)
        inside = arguments.expand_mask(mask, projector)
        prior = self._prior(settings)
        size = convert_voxel_size(projector.geometry, prior, check=settings.check_prior)
        scaled = projector.with_geometry(replace(projector.geometry, voxel_size=size, unit=prior.unit))
        with torch.no_grad():
            section = determine_section(projections, scaled, prior.spectrum, settings, weights=weights, mask=inside)
            data = prepare_model(
                projections, scaled, prior.spectrum, weights=weights, shift_std=settings.shift_std,
                offset_std=settings.offset_std, scale=None if settings.scale is None else Scale(*settings.scale),
                thickness=section.thickness,
            )  # fmt: skip
            probability = section.padded(data.pad)
            if settings.robust:
                data = weigh_tilts(data, prior.spectrum, probability)
            u = solve_wiener(data, prior.spectrum, settings.num_iter, tol=0.0, inside=probability)
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
                "tilt_weights": [float(v) for v in data.tilt_weights],
                "projector": projector.describe(),
            },
        )
