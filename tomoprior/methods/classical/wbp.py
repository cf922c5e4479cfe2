"""Weighted (filtered) back-projection."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from tomoprior.geometry import Geometry
from tomoprior.methods import arguments
from tomoprior.methods.base import ALLOCATOR_BYTES, Tunable
from tomoprior.methods.classical import angular, backprojection, filters
from tomoprior.progress import Progress
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction
from tomoprior.settings import Settings


class WBPSettings(Settings):
    """Settings of ``wbp``."""

    filter_name: filters.FilterName = Field(
        "ramp",
        description="ramp, shepp-logan, cosine, hamming, hann (from sharp to smooth), sirt (falls off as SIRT does), none.",
    )
    cutoff: float = Field(1.0, gt=0, le=1, description="Where the filter ends, as a fraction of the Nyquist frequency.")
    sirt_iterations: int = Field(20, ge=1, description="For filter_name=sirt: the SIRT iterations to resemble.")
    edge: Literal["extend", "zero"] = Field(
        "extend",
        description="What lies beside the detector for the filter: its last column, as if the specimen went on, or nothing.",
    )


class WBP:
    """``sum_i w_i (h * p_i)(X cos - Z sin)``: each projection filtered along u and smeared back, voxel by voxel.

    Kak and Slaney, Principles of Computerized Tomographic Imaging (1988), eqs. 30 to 35 and 61 of chapter 3; angular weights
    as ``tomoprior.methods.classical.angular`` describes. Uses no projector: every voxel looks up its own place on the detector.
    """

    name = "wbp"
    summary = "WBP: filtered back-projection; instant, exact with all angles, streaks and smears without"
    citation = "Kak and Slaney, Principles of Computerized Tomographic Imaging (1988), ch. 3, eqs. 30-35 and 61"
    Settings = WBPSettings
    tunable: ClassVar[Tunable] = {"filter_name": ("ramp", "shepp-logan", "hann", "sirt"), "cutoff": (1.0, 0.7, 0.5, 0.35)}
    couples_slices = False
    uses_projector = False

    def memory(self, geometry: Geometry, settings: Any) -> int:
        """The volume and a block of it, the filtered projections in two orders, and a block of indices with its positions."""
        nz, ny, nx = geometry.shape
        n, _, nu = geometry.range_shape
        block = min(backprojection.BLOCK_BYTES, 16 * nz * nx * n)
        return ALLOCATOR_BYTES + 4 * ny * (2 * nz * nx + 2 * n * nu) + block + block // 2

    def cost_in_pairs(self, geometry: Geometry, settings: Any) -> float:
        """Half a pair, and the places of the voxels on the detector, which cost the same for one slice as for many."""
        return 0.5 + 40 / geometry.shape[1]

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
        """See ``tomoprior.methods.Method.reconstruct``; weights are per tilt, an initial volume has no meaning here."""
        arguments.check_rays(self, projector.geometry)
        geometry = projector.geometry
        arguments.check_projections(projections, projector)
        arguments.refuse_arguments(self.name, **{"initial volume": initial})
        share = angular.for_method(self.name, geometry, arguments.expand_weights(weights, projector))
        m = arguments.expand_mask(mask, projector)
        with torch.no_grad():
            response = filters.response(
                settings.filter_name, geometry.detector[1], settings.cutoff, settings.sirt_iterations, geometry.shape[0]
            )
            filtered = filters.apply(projections, response, extend=settings.edge == "extend")
            filtered *= torch.from_numpy(share).to(filtered)[:, None, None]
            volume = backprojection.backproject(filtered, geometry)
            if m is not None:
                volume *= m
        if progress is not None:
            progress(1, 1, {})
        return Reconstruction(volume, geometry)
