"""The methods ``diffusion`` and ``diffusion.slice``: a trained prior and the measured tilts, in turn."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from tomoprior.errors import InputError, Interrupted
from tomoprior.geometry import Geometry
from tomoprior.methods import arguments
from tomoprior.methods.base import ALLOCATOR_BYTES, Tunable
from tomoprior.methods.diffusion import applicability, determined
from tomoprior.methods.diffusion.measurement import padding
from tomoprior.methods.diffusion.prior import Prior, load, network_dtype, shipped
from tomoprior.methods.diffusion.section import locating_bytes
from tomoprior.methods.diffusion.settings import DiffusionSettings
from tomoprior.methods.diffusion.slabs import HALO, PosteriorSlabs
from tomoprior.methods.diffusion.statement import INFERRED, LARGEST_MISFIT, statement
from tomoprior.methods.diffusion.tiling import BATCH, MARGIN, tile_edges
from tomoprior.methods.diffusion.wiener import NUM_ITER, estimate_bytes
from tomoprior.progress import Progress
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction

#: Rows worked on at a time.
ROWS = 128

#: While samples are drawn: arrays of the size of the slab that the network sees and of its projections, arrays of a tile's
#: size, and arrays of the size of the network's finest level.
SLAB_ARRAYS, RAY_ARRAYS, TILE_ARRAYS, LAYERS = 10.0, 6.0, 15.0, 16.0

#: Of a network that sees one slice at a time there are more: its convolutions lay slices out anew.
FLAT = 1.4

#: Passes of the network for its mean.
MIRRORS = 4

#: Standard deviation that no voxel is below, in the prior's units: of samples that all agree, in vacuum say.
LEAST_STD = 0.01

#: One pass of the network over a voxel costs about as much as this many rays through it, forward and back.
NETWORK_COST = 10000.0


class Diffusion:
    """Samples of ``p(volume | tilts)`` for a prior that a 3-D diffusion model has learned from other volumes."""

    name = "diffusion"
    summary = "3-D diffusion prior held to the tilts: mean and standard deviation of posterior samples"
    citation = "Deng et al., arXiv:2510.06516 (2025); Karras et al., NeurIPS 2022 (EDM)"
    Settings = DiffusionSettings
    tunable: ClassVar[Tunable] = {"shift_std": (0.5, 0.25, 1.0)}
    couples_slices = True
    uses_projector = True
    default_prior = "tissue"

    def describe(self) -> str:
        """The default prior in a few lines: its data and their licence, what it is for."""
        if self.default_prior not in shipped():
            return f"Prior: {self.default_prior} does not come with this installation; give prior=FILE (see tomoprior train)"
        prior = load(self.default_prior)
        low, high = prior.voxel_sizes
        least, most = prior.ranges
        card = prior.card
        return (
            f"Prior: {self.default_prior}, trained on {card.get('data', 'unknown data')}\n"
            f"       {card.get('licence', 'unknown licence')}; {card.get('attribution', '')}\n"
            f"       for voxels of {low:g} to {high:g} {prior.unit}, grids up to {applicability.THICKEST * prior.tile[0]} "
            f"voxels thick, tilt ranges of {least:g} to {most:g} degrees"
        )

    def prior(self, settings: Any) -> Prior:
        """The prior that the settings name; read once."""
        return load(settings.prior or self.default_prior)

    def halo(self, geometry: Geometry, settings: Any) -> int:
        """Rows that a slab of a larger volume sees beyond its own."""
        return HALO

    def settings_from_pilot(self, result: Reconstruction, settings: DiffusionSettings, folder: Path) -> dict[str, Any]:
        """The specimen's scale and its section, and how far the prior fits it."""
        return settings.handed_over(result.provenance) | {"widening": result.provenance["widening"]}

    def settings_for_rows(self, settings: DiffusionSettings, rows: range) -> DiffusionSettings:
        """All rows of a slab at once, with the random numbers that the whole volume has there."""
        return settings.model_copy(update={"first_row": settings.first_row + rows.start, "rows": len(rows)})

    def memory(self, geometry: Geometry, settings: Any) -> int:
        """Bytes at the peak beside the projections given and the prepared projector: bounded in y but for the result."""
        prior = self.prior(settings)
        unet = prior.denoiser.unet
        nz, ny, nx = geometry.shape
        own = self._rows(settings, ny)
        rows = min(ny, own + 2 * HALO)
        seen = (nz, rows + 2 * MARGIN, nx + 2 * padding(geometry) + 2 * MARGIN)
        tile = tile_edges(seen, prior.tile, unet.multiple)
        slab = math.prod(max(n, edge) for n, edge in zip(seen, tile, strict=True))
        rays = geometry.n_angles * rows * geometry.detector[1]
        width = unet.shape.widths[0] / math.prod(unet.step) * network_dtype(torch.device("cpu")).itemsize
        copies = LAYERS * (FLAT if unet.shape.flat else 1.0)
        layers = BATCH * math.prod(tile) * (4 * TILE_ARRAYS + copies * width)
        sampling = 4 * (SLAB_ARRAYS * slab + RAY_ARRAYS * rays) + layers
        known = settings.filled or settings.faces is not None
        at_work = max(sampling, estimate_bytes(geometry.rows(0, rows)), 0 if known else locating_bytes(geometry))
        # mean and variance of every slab with its halo; at the end the two of the whole volume, and one to smooth in
        volume = 4 * nz * ny * nx
        kept = 2 * volume * min(1 + 2 * HALO / own, max(1, ny / own))
        return ALLOCATOR_BYTES + int(kept + max(at_work, 3 * volume))

    def cost_in_pairs(self, geometry: Geometry, settings: Any) -> float:
        """Cost in pairs of a forward projection and an adjoint."""
        wider = 1 + 2 * padding(geometry) / geometry.shape[2]
        passes = settings.samples * settings.num_iter
        steps = 0.0 if settings.conditional and not settings.data_weight else passes * (settings.num_cg + 1.5)
        means = MIRRORS if settings.conditional else 0
        return float(wider * (1.5 * NUM_ITER + steps + (passes + means) * NETWORK_COST / geometry.n_angles))

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
        """See ``tomoprior.methods.Method.reconstruct``; the result has ``std`` and ``determined``."""
        arguments.check_rays(self, projector.geometry)
        if initial is not None:
            raise InputError(f"{self.name} starts from its own linear estimate; leave the initial volume out")
        arguments.check_projections(projections, projector)
        arguments.expand_weights(weights, projector)
        inside = arguments.expand_mask(mask, projector)
        prior = self.prior(settings)
        applicability.check(projector.geometry, prior, beyond=not settings.check_prior)
        size = applicability.voxel_size(projector.geometry, prior, check=settings.check_prior)
        device = projections.device
        prior = replace(prior, denoiser=prior.denoiser.to(device))
        geometry = replace(projector.geometry, voxel_size=size, unit=prior.unit)
        with torch.no_grad():
            run = PosteriorSlabs(projections, projector.with_geometry(geometry), weights, prior, settings, progress, inside)
            try:
                run.all_slabs(self._rows(settings, projector.geometry.shape[1]))
            except KeyboardInterrupt:
                if not run.complete():
                    raise
                raise Interrupted(self._result(run, projector, inside)) from None
            return self._result(run, projector, inside)

    @staticmethod
    def _rows(settings: DiffusionSettings, ny: int) -> int:
        return min(ny, ROWS if settings.rows == "auto" else settings.rows)

    def _result(self, run: PosteriorSlabs, projector: Projector, inside: torch.Tensor | None) -> Reconstruction:
        settings, prior, scale = run.settings, run.prior, run.scale
        assert scale is not None
        mean, variance, count = run.gathered()
        span = float(np.rad2deg(np.ptp(projector.geometry.angles)))
        volume = mean.mul_(scale.gain).add_(scale.mean)
        trust, section, misfit = run.trust(), run.section, run.misfit_per_ray()
        widening = settings.widening or (math.sqrt(misfit) if misfit > LARGEST_MISFIT else 1.0)
        std = None
        if variance is not None:
            std = _around(variance).clamp_min(0).add_(LEAST_STD**2).sqrt_().mul_(scale.gain)
            std *= prior.spread(span, section.inside.to(std))
            std *= widening
        if inside is not None:
            volume = volume * inside
            std = None if std is None else std * inside
        shares = run.shares
        assert shares is not None
        known = determined.summary(shares, prior.spectrum, run.projector.geometry.voxel_size)
        return Reconstruction(
            volume.contiguous(),
            projector.geometry,
            std=None if std is None else std.contiguous(),
            determined=torch.fft.fftshift(shares),
            provenance={
                "residual": run.residual(),
                "samples": count,
                "prior": {"name": settings.prior or self.default_prior, **prior.card},
                "scale": {"mean": scale.mean, "gain": scale.gain},
                "section": section.to_dict(),
                "misfit_per_ray": misfit,
                "widening": widening,
                "trust": trust,
                "determined": known,
                "statement": statement(projector.geometry, known, trust, count, section, misfit),
                "inferred": INFERRED,
                "projector": projector.describe(),
            },
        )


class DiffusionSlice(Diffusion):
    """The same with a 2-D prior: each slice is sampled for itself, as DiffusionMBIR and DOLCE do in essence."""

    name = "diffusion.slice"
    summary = "2-D diffusion prior, slice by slice: what the 3-D prior is to be compared with"
    citation = "Chung et al., CVPR 2023 (DiffusionMBIR); Liu et al., ICCV 2023 (DOLCE)"
    default_prior = "tissue-slice"


def _around(variance: torch.Tensor) -> torch.Tensor:
    """Means over 3 x 3 x 3 voxels: a few samples tell little of a single one."""
    return torch.nn.functional.avg_pool3d(variance[None], 3, 1, 1, count_include_pad=False)[0]
