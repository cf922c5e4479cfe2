"""Rows of a series that are sampled together: measurement, conditions and the samples' mean and variance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from tomoprior.methods.diffusion import trust
from tomoprior.methods.diffusion.conditions import condition
from tomoprior.methods.diffusion.measurement import Measurement, prepare
from tomoprior.methods.diffusion.noise import RowNoise
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.methods.diffusion.sampler import Schedule, Step, data_step, sample
from tomoprior.methods.diffusion.scale import Scale
from tomoprior.methods.diffusion.settings import DiffusionSettings
from tomoprior.methods.diffusion.tiling import TiledDenoiser
from tomoprior.methods.diffusion.wiener import wiener
from tomoprior.projector import Projector

#: Rounds of estimate and trust before the samples are drawn, and conjugate gradients of these estimates.
ROUNDS, ROUGH = 2, 12

#: Conjugate gradients that hold the mean to the data.
MEAN_CG = 8


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


class Slab:
    """Some rows of a series, ready to be sampled.

    Parameters
    ----------
    projections, projector, weights
        Of these rows, with the voxel size in the prior's unit.
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
        *,
        rows: range,
        weights: torch.Tensor | None = None,
        scale: Scale | None = None,
    ) -> None:
        self.prior, self.settings, self.rows = prior, settings, rows
        self.data: Measurement = prepare(
            projections, projector, prior.spectrum,
            weights=weights, shift_std=settings.shift_std, offset_std=settings.offset_std, scale=scale,
        )  # fmt: skip
        flat = prior.denoiser.unet.shape.flat
        for _ in range(ROUNDS if settings.robust and len(self.data.y) > 3 else 0):
            found = trust.learned(self.data, wiener(self.data, prior.spectrum, ROUGH, tol=0.0, flat=flat))
            if bool((found >= self.data.trust - 1e-6).all()) and bool((found > 0.99).all()):
                break
            self.data = replace(self.data, trust=found)
        self.told = condition(self.data, prior.spectrum, flat=flat)
        self._denoise = TiledDenoiser(prior.denoiser, prior.tile, self.told, told=settings.conditional)

    def draw(self, seed: int, number: int, each: Callable[[Step], None] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Sample ``number``, and the mean of the clean volume as its chain saw it, on the padded grid in the prior's units.

        At every noise level the denoiser's estimate has the posterior's mean as its own mean over chains, and varies the less
        the higher the level is: the mean is taken at levels from ``mean_sigma`` up, where few samples settle it
        (Rao-Blackwell), and the spread at the end of the chain.
        """
        s, told = self.settings, self.told
        estimates = Moments()

        def watch(step: Step) -> None:
            if step.sigma >= s.mean_sigma or step.level == 0:
                estimates.add(step.denoised)
            if each is not None:
                each(step)

        found = sample(
            self._denoise,
            self.data,
            told.linear if s.conditional else torch.zeros_like(told.linear),
            Schedule(s.num_iter, s.sigma_max, s.sigma_min),
            RowNoise(seed, number, self.rows, self.data.y.device),
            unknown=self.prior.error,
            data_weight=self._data_weight,
            num_cg=s.num_cg,
            each=watch,
        )
        assert estimates.mean is not None
        return found, estimates.mean

    def settled(self, mean: torch.Tensor) -> torch.Tensor:
        """The mean held to the data once more, on the padded grid: the network alone follows them only so far."""
        r2 = self.prior.error(self.settings.sigma_max)
        return data_step(self.data, mean, r2, self._data_weight, MEAN_CG) if self._data_weight > 0 else mean

    @property
    def _data_weight(self) -> float:
        s = self.settings
        return s.data_weight if s.data_weight is not None else (self.prior.data_weight if s.conditional else 1.0)
