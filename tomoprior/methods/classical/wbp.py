"""Weighted (filtered) back-projection."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from tomoprior.geometry import Geometry
from tomoprior.methods import arguments
from tomoprior.methods.base import ALLOCATOR_BYTES, Tunable
from tomoprior.methods.classical import angular, backprojection, filters, redundancy
from tomoprior.progress import Progress
from tomoprior.projector import Projector, backends
from tomoprior.reconstruction import Reconstruction
from tomoprior.settings import Settings, document_settings

#: Most slices of a block that compiled code copies in its own order.
SLICES_OF_BLOCK = 16


class WBPSettings(Settings):
    """Settings of ``wbp``."""

    filter_name: filters.FilterName = Field(
        "ramp",
        description="Filter: ramp, shepp-logan, cosine, hamming, hann (from sharp to smooth), sirt (falls off as SIRT "
        "does), or none.",
    )
    cutoff: float = Field(
        1.0, gt=0, le=1, description="Frequency at which the filter ends, as a fraction of the Nyquist frequency."
    )
    sirt_iterations: int = Field(20, ge=1, description="For filter_name=sirt: the number of SIRT iterations to resemble.")
    edge: Literal["extend", "zero"] = Field(
        "extend",
        description="Values beyond the detector for the filter. extend: its last column, for a specimen that continues; "
        "zero: for an isolated object.",
    )


@document_settings
class WBP:
    """``sum_i w_i (h * p_i)(X cos - Z sin)``: filter each projection along u and back-project it, voxel by voxel.

    Kak and Slaney, Principles of Computerized Tomographic Imaging (1988), eqs. 30 to 35 and 61 of chapter 3; angular weights
    as in ``tomoprior.methods.classical.angular``, and for a full turn with the axis off the middle weights of rays as in
    ``tomoprior.methods.classical.redundancy``. It uses no projector: every voxel looks up its own position on the detector.
    """

    name = "wbp"
    summary = "WBP: filtered back-projection; instant; exact for a full range of angles, else streaks and smears"
    citation = "Kak and Slaney, Principles of Computerized Tomographic Imaging (1988), ch. 3, eqs. 30-35 and 61"
    Settings = WBPSettings
    tunable: ClassVar[Tunable] = {"filter_name": ("ramp", "shepp-logan", "hann", "sirt"), "cutoff": (1.0, 0.7, 0.5, 0.35)}
    couples_slices = False
    uses_projector = False

    def memory(self, geometry: Geometry, settings: Any) -> int:
        """Return the bytes of the volume, filtered projections, and blocks of both.

        Without compiled code, and on a GPU, both have a second order, and the block is one of indices.
        """
        nz, ny, nx = geometry.shape
        n, _, nu = redundancy.balanced_geometry(geometry).range_shape
        if backends.can_interpolate() and not torch.cuda.is_available():
            return ALLOCATOR_BYTES + 4 * ny * (nz * nx + n * nu) + 4 * min(ny, SLICES_OF_BLOCK) * (nz * nx + n * nu)
        block = min(backprojection.BLOCK_BYTES, 16 * nz * nx * n)
        return ALLOCATOR_BYTES + 4 * ny * (2 * nz * nx + 2 * n * nu) + block + block // 2

    def cost_in_pairs(self, geometry: Geometry, settings: Any) -> float:
        """Return half a pair, plus the positions of voxels on the detector, which cost the same for any number of slices."""
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
        """See ``tomoprior.methods.Method.reconstruct``; weights are per tilt, and an initial volume is refused."""
        arguments.check_rays(self, projector.geometry)
        geometry = projector.geometry
        arguments.check_projections(projections, projector)
        arguments.refuse_arguments(self.name, **{"initial volume": initial})
        share = angular.compute_tilt_weights(self.name, geometry, arguments.expand_weights(weights, projector))
        mask = arguments.expand_mask(mask, projector)
        with torch.no_grad():
            data, rays = redundancy.balance(projections, geometry)
            response = filters.compute_response(
                settings.filter_name, rays.detector[1], settings.cutoff, settings.sirt_iterations, geometry.shape[0]
            )
            filtered = filters.filter_projections(data, response, extend=settings.edge == "extend")
            filtered *= torch.from_numpy(share).to(filtered)[:, None, None]
            volume = backprojection.backproject(filtered, rays)
            if mask is not None:
                volume *= mask
        if progress is not None:
            progress(1, 1, {})
        return Reconstruction(volume, geometry)
