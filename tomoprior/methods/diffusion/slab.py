"""Rows of a series that are sampled together: measurement, conditions, and samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from tomoprior.methods.diffusion.adaptation import adapt_denoiser
from tomoprior.methods.diffusion.conditioning import condition, weigh_tilts
from tomoprior.methods.diffusion.flow import follow_flow
from tomoprior.methods.diffusion.measurement import Measurement, prepare
from tomoprior.methods.diffusion.noise import RowNoise
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.methods.diffusion.sampler import Schedule, Step, sample
from tomoprior.methods.diffusion.scale import Scale
from tomoprior.methods.diffusion.section import KnownSection
from tomoprior.methods.diffusion.settings import DiffusionSettings
from tomoprior.methods.diffusion.tiling import TiledDenoiser
from tomoprior.projector import Projector


@dataclass
class Moments:
    """Running mean and sum of squared deviations of volumes (Welford)."""

    count: int = 0
    mean: torch.Tensor | None = None
    squares: torch.Tensor | None = None

    def add(self, x: torch.Tensor) -> None:
        """Take in one more."""
        self.count += 1
        if self.mean is None or self.squares is None:
            self.mean, self.squares = x.clone(), torch.zeros_like(x)
            return
        difference = x - self.mean
        self.mean += difference / self.count
        self.squares.addcmul_(difference, x - self.mean)

    def variance(self) -> torch.Tensor | None:
        """Of the volumes, unbiased; None before there are two."""
        return None if self.count < 2 or self.squares is None else self.squares / (self.count - 1)


class PosteriorSlab:
    """Some rows of a series, ready to be sampled.

    Parameters
    ----------
    projections, projector, weights
        Of these rows, with the voxel size in the prior's unit.
    section
        Where the section lies, as far as that is known.
    rows
        Where they lie in the whole series.
    scale
        Of the whole series; measured here by default.
    """

    def __init__(
        self,
        projections: torch.Tensor,
        projector: Projector,
        prior: Prior,
        settings: DiffusionSettings,
        section: KnownSection,
        *,
        rows: range,
        weights: torch.Tensor | None = None,
        scale: Scale | None = None,
    ) -> None:
        self.prior, self.settings, self.rows = prior, settings, rows
        flat = prior.denoiser.unet.shape.flat
        data: Measurement = prepare(
            projections, projector, prior.spectrum, weights=weights, shift_std=settings.shift_std,
            offset_std=settings.offset_std, scale=scale, thickness=section.thickness,
        )  # fmt: skip
        self.inside = section.padded(data.pad)
        self.data = weigh_tilts(data, prior.spectrum, self.inside, flat=flat) if settings.robust else data
        self.told = condition(self.data, prior.spectrum, self.inside, section.face_std, flat=flat)
        self.section = section
        self._denoise = TiledDenoiser(prior.denoiser, prior.tile, self.told, told=settings.conditional)

    def adapted(self, steps: int, seed: int) -> Prior:
        """The prior with its network fitted to this slab's tilts, which it uses from here on."""
        self.prior = replace(self.prior, denoiser=adapt_denoiser(self.prior, self.data, self.section, steps, seed))
        self._denoise = TiledDenoiser(self.prior.denoiser, self.prior.tile, self.told, told=self.settings.conditional)
        return self.prior

    def mean(self) -> torch.Tensor:
        """The network's posterior mean, on the padded grid in the prior's units."""
        return self._denoise.mirrored_mean()

    def draw(self, seed: int, number: int, start: torch.Tensor, each: Callable[[Step], None] | None = None) -> torch.Tensor:
        """Sample ``number``, on the padded grid in the prior's units.

        A network that is told of the series leads the samples itself, from noise around ``start``. One that is not only knows
        tissue, and the data come in at every level.
        """
        s = self.settings
        noise = RowNoise(seed, number, self.rows, self.data.y.device)
        schedule = Schedule(s.num_iter, s.highest, s.sigma_min)
        if self._data_weight == 0:
            return follow_flow(self._denoise, start, schedule.levels().tolist(), noise, each)
        return sample(
            self._denoise, self.data, start, schedule, noise,
            unknown=self.prior.error, data_weight=self._data_weight, num_cg=s.num_cg, each=each,
        )  # fmt: skip

    @property
    def _data_weight(self) -> float:
        s = self.settings
        return s.data_weight if s.data_weight is not None else (self.prior.data_weight if s.conditional else 1.0)
