"""A slab of rows that are sampled together: its measurement model, condition and samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import torch

from tomoprior.methods.base import TiltComparison
from tomoprior.methods.diffusion.adaptation import adapt_denoiser
from tomoprior.methods.diffusion.conditioning import build_condition, weigh_tilts
from tomoprior.methods.diffusion.measurement_model import prepare_model
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.methods.diffusion.probability_flow import follow_flow
from tomoprior.methods.diffusion.row_noise import RowNoise
from tomoprior.methods.diffusion.sampler import Schedule, Step, draw_sample
from tomoprior.methods.diffusion.scale import Scale
from tomoprior.methods.diffusion.section import Section
from tomoprior.methods.diffusion.settings import DiffusionSettings
from tomoprior.methods.diffusion.tiling import TiledDenoiser
from tomoprior.projector import Projector
from tomoprior.storage.moments import merge_moments


@dataclass
class RunningMoments:
    """Running mean and sum of squared deviations of volumes."""

    count: int = 0
    mean: torch.Tensor = field(default_factory=lambda: torch.zeros(()))
    squares: torch.Tensor = field(default_factory=lambda: torch.zeros(()))

    def add(self, x: torch.Tensor) -> None:
        """Add a volume."""
        zero = x.new_zeros(())
        self.count, self.mean, self.squares = merge_moments(self.count, self.mean, self.squares, 1, x, zero)

    def variance(self) -> torch.Tensor | None:
        """Return the unbiased variance of the volumes; None for fewer than two."""
        return None if self.count < 2 else self.squares / (self.count - 1)


class PosteriorSlab:
    """A slab of rows, ready to be sampled.

    Parameters
    ----------
    projections, projector, weights
        The series' data of these rows, with the voxel size in the prior's unit.
    section
        The section in these rows.
    rows
        The slab's rows in the whole series.
    scale
        Scale of the whole series; by default it is measured from this slab.
    """

    def __init__(
        self,
        projections: torch.Tensor,
        projector: Projector,
        prior: Prior,
        settings: DiffusionSettings,
        section: Section,
        *,
        rows: range,
        weights: torch.Tensor | None = None,
        scale: Scale | None = None,
    ) -> None:
        self.prior, self.settings, self.rows = prior, settings, rows
        flat = prior.denoiser.unet.shape.flat
        self._prepare = partial(
            prepare_model, projections, projector, prior.spectrum, weights=weights, offset_std=settings.offset_std,
            thickness=section.thickness,
        )  # fmt: skip
        data = self._prepare(shift_std=settings.shift_std, scale=scale)
        inside = section.padded(data.pad)
        self.data = weigh_tilts(data, prior.spectrum, inside, flat=flat) if settings.robust else data
        self.condition = build_condition(self.data, prior.spectrum, inside, section.face_std, flat=flat)
        self.section = section
        self._denoise = self._tile_denoiser()

    def _tile_denoiser(self) -> TiledDenoiser:
        return TiledDenoiser(self.prior.denoiser, self.prior.tile, self.condition, conditioned=self.settings.conditional)

    def adapt_prior(self, steps: int, seed: int) -> Prior:
        """Adapt the prior's network to this slab's tilts, use it from now on, and return the adapted prior."""
        self.prior = replace(self.prior, denoiser=adapt_denoiser(self.prior, self.data, self.section, steps, seed))
        self._denoise = self._tile_denoiser()
        return self.prior

    def compute_mean(self) -> torch.Tensor:
        """Return the network's posterior mean, on the padded grid in the prior's units."""
        return self._denoise.mirrored_mean()

    def estimate_error_variance(self, mean: torch.Tensor) -> torch.Tensor:
        """Return the error network's variance of ``mean``, on the padded grid in the prior's units squared."""
        assert self.prior.error_network is not None
        return self._denoise.estimate_error_variance(self.prior.error_network, mean)

    def compare_tilts(self, volume: torch.Tensor) -> TiltComparison:
        """Compare the tilts with the reprojections of ``volume`` (padded grid), in the prior's units."""
        reprojections = self.data.A(volume)
        # the weights have no share for the shifts that the comparison is to find
        placed = self._prepare(shift_std=0.0, scale=self.data.scale)
        images = placed.y - placed.fit_brightness(placed.y - reprojections)
        return TiltComparison(images, reprojections, placed.w * self.data.tilt_weights[:, None, None])

    def draw(self, seed: int, number: int, start: torch.Tensor, on_step: Callable[[Step], None] | None = None) -> torch.Tensor:
        """Draw sample ``number``, on the padded grid in the prior's units.

        A conditioned network alone defines the sample's path, from noise around ``start``. An unconditional network knows only
        tissue, and a data step follows at every level.
        """
        s = self.settings
        noise = RowNoise(seed, number, self.rows, self.data.y.device)
        schedule = Schedule(s.num_iter, s.first_level, s.sigma_min)
        if self._data_weight == 0:
            return follow_flow(self._denoise, start, schedule.levels().tolist(), noise, on_step)
        return draw_sample(
            self._denoise, self.data, start, schedule, noise,
            error_variance=self.prior.squared_error, data_weight=self._data_weight, num_cg=s.num_cg, on_step=on_step,
        )  # fmt: skip

    @property
    def _data_weight(self) -> float:
        s = self.settings
        return s.data_weight if s.data_weight is not None else (self.prior.data_weight if s.conditional else 1.0)
