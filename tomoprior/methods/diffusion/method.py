"""The methods ``diffusion`` and ``diffusion.slice``: posterior samples of a trained prior, conditioned on the tilts."""

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
from tomoprior.methods.base import ALLOCATOR_BYTES, TiltComparison, Tunable
from tomoprior.methods.diffusion.determined_share import summarise_determined_share
from tomoprior.methods.diffusion.posterior_slabs import HALO, PosteriorSlabs
from tomoprior.methods.diffusion.prior import Prior, choose_network_dtype, list_shipped_priors, load_prior
from tomoprior.methods.diffusion.ray_geometry import compute_padding
from tomoprior.methods.diffusion.section import estimate_locating_bytes
from tomoprior.methods.diffusion.settings import DiffusionSettings
from tomoprior.methods.diffusion.statements import INFERRED, LARGEST_MISFIT, write_statements
from tomoprior.methods.diffusion.tiling import BATCH, MARGIN, choose_tile_shape
from tomoprior.methods.diffusion.training_domain import MAX_TILES_ALONG_Z, check_grid_and_range, convert_voxel_size
from tomoprior.methods.diffusion.wiener import NUM_ITER, estimate_wiener_bytes
from tomoprior.progress import Progress
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction

#: Rows of a slab.
ROWS = 128

#: Numbers of arrays in memory while samples are drawn: of the size of the slab with its margins, of its projections, of a
#: tile, and of the network's finest level.
SLAB_ARRAYS, RAY_ARRAYS, TILE_ARRAYS, LAYER_ARRAYS = 10.0, 6.0, 15.0, 16.0

#: Factor on the last number for a network of single slices, whose convolutions copy the slices to another layout.
FLAT_FACTOR = 1.4

#: Passes of the network for its mean, one for each mirror image.
N_MIRRORED_PASSES = 4

#: Smallest standard deviation of a voxel in the prior's units, for voxels where all samples agree, for example in vacuum.
MIN_STD = 0.01

#: Cost of one pass of the network over a voxel, in rays through it, forward and back.
NETWORK_COST = 10000.0


class Diffusion:
    """Samples of ``p(volume | tilts)`` with a prior that a 3-D diffusion model has learned from other volumes."""

    name = "diffusion"
    summary = "3-D diffusion prior conditioned on the tilts: mean and standard deviation of posterior samples"
    citation = "Deng et al., arXiv:2510.06516 (2025); Karras et al., NeurIPS 2022 (EDM)"
    Settings = DiffusionSettings
    tunable: ClassVar[Tunable] = {"shift_std": (0.5, 0.25, 1.0)}
    couples_slices = True
    uses_projector = True
    default_prior = "tissue"

    def describe(self) -> str:
        """Return the default prior's data, licence and domain in a few lines."""
        if self.default_prior not in list_shipped_priors():
            return f"Prior: {self.default_prior} does not come with this installation; give prior=FILE (see tomoprior train)"
        prior = load_prior(self.default_prior)
        low, high = prior.voxel_sizes
        least, most = prior.ranges
        card = prior.card
        return (
            f"Prior: {self.default_prior}, trained on {card.get('data', 'unknown data')}\n"
            f"       {card.get('licence', 'unknown licence')}; {card.get('attribution', '')}\n"
            f"       for voxels of {low:g} to {high:g} {prior.unit}, grids up to {MAX_TILES_ALONG_Z * prior.tile[0]} "
            f"voxels thick, tilt ranges of {least:g} to {most:g} degrees"
        )

    def prior(self, settings: DiffusionSettings) -> Prior:
        """Return the prior of the settings; a file is read once."""
        return load_prior(settings.prior or self.default_prior)

    def check(self, geometry: Geometry, settings: DiffusionSettings) -> None:
        """Raise InputError if grid, voxel size or tilt range are outside the prior's training."""
        prior = self.prior(settings)
        check_grid_and_range(geometry, prior, check_range=settings.check_prior)
        convert_voxel_size(geometry, prior, check=settings.check_prior)

    def halo(self, geometry: Geometry, settings: DiffusionSettings) -> int:
        """Return the number of rows that a slab of a larger volume sees on either side of its own."""
        return HALO

    def settings_from_pilot(self, result: Reconstruction, settings: DiffusionSettings, folder: Path) -> dict[str, Any]:
        """Return settings with the scale, the section and the widening of the pilot's result."""
        return settings.scale_and_section_from(result.provenance) | {"widening": result.provenance["widening"]}

    def settings_for_rows(self, settings: DiffusionSettings, rows: range) -> DiffusionSettings:
        """Return settings for a slab: all its rows at once, with the random numbers of these rows in the whole volume."""
        return settings.model_copy(update={"first_row": settings.first_row + rows.start, "rows": len(rows)})

    def memory(self, geometry: Geometry, settings: DiffusionSettings) -> int:
        """Return the peak memory in bytes without projections and projector; only the result grows with the number of rows."""
        prior = self.prior(settings)
        unet = prior.denoiser.unet
        nz, ny, nx = geometry.shape
        own = self._rows(settings, ny)
        rows = min(ny, own + 2 * HALO)
        padded = (nz, rows + 2 * MARGIN, nx + 2 * compute_padding(geometry) + 2 * MARGIN)
        tile = choose_tile_shape(padded, prior.tile, unet.multiple)
        slab = math.prod(max(n, edge) for n, edge in zip(padded, tile, strict=True))
        rays = geometry.n_angles * rows * geometry.detector[1]
        width = unet.shape.widths[0] / math.prod(unet.step) * choose_network_dtype(torch.device("cpu")).itemsize
        copies = LAYER_ARRAYS * (FLAT_FACTOR if unet.shape.flat else 1.0)
        layers = BATCH * math.prod(tile) * (4 * TILE_ARRAYS + copies * width)
        sampling = 4 * (SLAB_ARRAYS * slab + RAY_ARRAYS * rays) + layers
        known = settings.filled or settings.faces is not None
        working = max(
            sampling, estimate_wiener_bytes(geometry.rows(0, rows)), 0 if known else estimate_locating_bytes(geometry)
        )
        # mean and variance of every slab with its halo; at the end both of the whole volume, and one array for smoothing
        volume = 4 * nz * ny * nx
        results = 2 * volume * min(1 + 2 * HALO / own, max(1, ny / own))
        return ALLOCATOR_BYTES + int(results + max(working, 3 * volume))

    def cost_in_pairs(self, geometry: Geometry, settings: DiffusionSettings) -> float:
        """Return the cost in pairs of a forward projection and an adjoint."""
        wider = 1 + 2 * compute_padding(geometry) / geometry.shape[2]
        settings = settings.resolve_samples(self.prior(settings).error_network is not None)
        passes = settings.n_samples * settings.num_iter
        steps = 0.0 if settings.conditional and not settings.data_weight else passes * (settings.num_cg + 1.5)
        means = N_MIRRORED_PASSES if settings.conditional else 0
        return float(wider * (1.5 * NUM_ITER + steps + (passes + means) * NETWORK_COST / geometry.n_angles))

    def reconstruct(
        self,
        projections: torch.Tensor,
        projector: Projector,
        settings: DiffusionSettings,
        *,
        weights: torch.Tensor | None = None,
        initial: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        progress: Progress | None = None,
    ) -> Reconstruction:
        """Reconstruct; see ``tomoprior.methods.Method.reconstruct``. The result has ``std`` and ``determined``."""
        if initial is not None:
            raise InputError(f"{self.name} starts from its own linear estimate; leave the initial volume out")
        with torch.no_grad():
            slabs, inside = self._make_slabs(projections, projector, settings, weights, mask, progress)
            try:
                slabs.sample_all(self._rows(settings, projector.geometry.shape[1]))
            except KeyboardInterrupt:
                if not slabs.is_complete():
                    raise
                raise Interrupted(self._make_result(slabs, projector, inside)) from None
            return self._make_result(slabs, projector, inside)

    def compare_tilts(
        self,
        projections: torch.Tensor,
        projector: Projector,
        settings: DiffusionSettings,
        *,
        weights: torch.Tensor | None = None,
    ) -> TiltComparison:
        """Compare the tilts with the reprojections of the network's mean; without ``conditional``, of one sample.

        The reprojections have the material beside the field of view, and each tilt's brightness is fitted.
        """
        with torch.no_grad():
            slabs, _ = self._make_slabs(projections, projector, settings, weights, None, None)
            return slabs.compare_tilts()

    def settings_for_shifts(self, settings: DiffusionSettings, stds: tuple[float, ...]) -> DiffusionSettings:
        """Return settings for tilts whose shifts have these standard deviations, pixels, beside that of the settings.

        The network was trained with the usual ``shift_std``, which also stands for errors other than shifts.
        """
        usual = np.asarray(settings.shift_std)
        return settings.model_copy(update={"shift_std": tuple(np.hypot(usual, stds).tolist())})

    def _make_slabs(
        self, projections: torch.Tensor, projector: Projector, settings: DiffusionSettings, weights: torch.Tensor | None,
        mask: torch.Tensor | None, progress: Progress | None,
    ) -> tuple[PosteriorSlabs, torch.Tensor | None]:  # fmt: skip
        """Check all arguments; return the slabs and the mask on the grid."""
        arguments.check_rays(self, projector.geometry)
        arguments.check_projections(projections, projector)
        arguments.expand_weights(weights, projector)
        inside = arguments.expand_mask(mask, projector)
        prior = self.prior(settings)
        check_grid_and_range(projector.geometry, prior, check_range=settings.check_prior)
        size = convert_voxel_size(projector.geometry, prior, check=settings.check_prior)
        prior = prior.to(projections.device)
        settings = settings.resolve_samples(prior.error_network is not None)
        geometry = replace(projector.geometry, voxel_size=size, unit=prior.unit)
        return PosteriorSlabs(
            projections, projector.with_geometry(geometry), weights, prior, settings, progress, inside
        ), inside  # fmt: skip

    @staticmethod
    def _rows(settings: DiffusionSettings, ny: int) -> int:
        return min(ny, ROWS if settings.rows == "auto" else settings.rows)

    def _make_result(self, slabs: PosteriorSlabs, projector: Projector, inside: torch.Tensor | None) -> Reconstruction:
        settings, prior, scale, determined = slabs.settings, slabs.prior, slabs.scale, slabs.determined
        assert scale is not None
        assert determined is not None
        mean, variance, count = slabs.blend_moments()
        span = float(np.rad2deg(np.ptp(projector.geometry.angles)))
        volume = mean.mul_(scale.gain).add_(scale.mean)
        tilt_weights, section, misfit = slabs.smallest_tilt_weights(), slabs.section, slabs.misfit_per_ray()
        widening = settings.widening or (math.sqrt(misfit) if misfit > LARGEST_MISFIT else 1.0)
        std = None
        if variance is not None:
            of_network = settings.std == "network"
            std = (variance if of_network else _smooth(variance)).clamp_min(0).add_(MIN_STD**2).sqrt_().mul_(scale.gain)
            std *= prior.std_factors(span, section.inside.to(std), of_network=of_network)
            std *= widening
        if inside is not None:
            volume = volume * inside
            std = None if std is None else std * inside
        voxel_size = slabs.projector.geometry.voxel_size
        determined_summary = summarise_determined_share(determined, prior.spectrum, voxel_size)
        statement = write_statements(projector.geometry, determined_summary, tilt_weights, std is None, section, misfit)
        return Reconstruction(
            volume.contiguous(),
            projector.geometry,
            std=None if std is None else std.contiguous(),
            determined=torch.fft.fftshift(determined),
            provenance={
                "residual": slabs.residual(),
                "samples": count,
                "std": None if std is None else settings.std,
                "prior": {"name": settings.prior or self.default_prior, **prior.card},
                "scale": {"mean": scale.mean, "gain": scale.gain},
                "section": section.to_dict(),
                "misfit_per_ray": misfit,
                "widening": widening,
                "tilt_weights": tilt_weights,
                "determined": determined_summary,
                "statement": statement,
                "inferred": INFERRED,
                "projector": projector.describe(),
            },
        )


class DiffusionSlice(Diffusion):
    """``diffusion`` with a 2-D prior: each slice is sampled on its own, as in DiffusionMBIR and DOLCE in essence."""

    name = "diffusion.slice"
    summary = "2-D diffusion prior, slice by slice: a baseline for the 3-D prior"
    citation = "Chung et al., CVPR 2023 (DiffusionMBIR); Liu et al., ICCV 2023 (DOLCE)"
    default_prior = "tissue-slice"


def _smooth(variance: torch.Tensor) -> torch.Tensor:
    """Return means over 3 x 3 x 3 voxels: a few samples give a noisy variance of a single voxel."""
    return torch.nn.functional.avg_pool3d(variance[None], 3, 1, 1, count_include_pad=False)[0]
