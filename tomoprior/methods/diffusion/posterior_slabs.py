"""All slabs of one reconstruction: they are sampled one after the other, and blended where they overlap."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from tomoprior.methods.base import TiltComparison
from tomoprior.methods.diffusion.determined_share import compute_determined_share
from tomoprior.methods.diffusion.posterior_slab import PosteriorSlab, RunningMoments
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.methods.diffusion.sampler import Step
from tomoprior.methods.diffusion.scale import Scale
from tomoprior.methods.diffusion.section import determine_section
from tomoprior.methods.diffusion.settings import DiffusionSettings
from tomoprior.methods.diffusion.tilt_weights import compute_tilt_misfits
from tomoprior.progress import Progress
from tomoprior.projector import Projector

#: Rows that a slab sees on either side of its own: the reach of a tile.
HALO = 16


@dataclass
class SlabPosterior:
    """A slab's rows, without and with its halo, and the moments of its samples."""

    rows: range
    rows_with_halo: range
    count: int = 0
    mean: torch.Tensor | None = None
    variance: torch.Tensor | None = None
    tilt_weights: torch.Tensor | None = None
    squared_residual: tuple[float, float] = (0.0, 0.0)
    misfit_per_ray: float = 1.0


class PosteriorSlabs:
    """All slabs of one reconstruction; all samples of a slab are drawn before the next slab starts."""

    def __init__(
        self, projections: torch.Tensor, projector: Projector, weights: torch.Tensor | None, prior: Prior,
        settings: DiffusionSettings, progress: Progress | None, mask: torch.Tensor | None = None,
    ) -> None:  # fmt: skip
        self.projections, self.projector, self.weights = projections, projector, weights
        self.prior, self.settings, self.progress = prior, settings, progress
        self.section = determine_section(
            projections, projector, prior.spectrum, settings, weights=weights, mask=mask, flat=prior.denoiser.unet.shape.flat
        )
        self.parts: list[SlabPosterior] = []
        self.scale = None if settings.scale is None else Scale(*settings.scale)
        self.determined: torch.Tensor | None = None
        self._adapted = False
        self.seed = int(torch.randint(2**31, (1,)))  # from the caller's generator, whose seed the run has set

    def sample_all(self, rows: int) -> None:
        """Sample all slabs, each of at most ``rows`` rows."""
        ny = self.projector.geometry.shape[1]
        for first in range(0, ny, rows):
            own = range(first, min(first + rows, ny))
            self.parts.append(SlabPosterior(own, range(max(0, first - HALO), min(ny, own.stop + HALO))))
        # the middle slab first: all slabs use its scale
        for number, part in enumerate(sorted(self.parts, key=lambda p: abs(p.rows.start + p.rows.stop - ny))):
            self._sample_slab(part, number)

    def _sample_slab(self, part: SlabPosterior, n_finished: int) -> None:
        """Sample one slab after ``n_finished`` others, and keep only its mean and variance."""
        levels = max(1, self.settings.n_samples * self.settings.num_iter)
        slab = self._make_slab(part.rows_with_halo)
        self.scale = slab.data.scale
        part.tilt_weights = slab.data.tilt_weights
        if self.determined is None:
            rows = min(self.projector.geometry.shape[1], 64)
            self.determined = compute_determined_share(slab.data, self.prior.spectrum, rows)
        if self.settings.adapt and not self._adapted:  # the network of the middle slab serves all slabs
            self.prior, self._adapted = slab.adapt_prior(self.settings.adapt, self.seed), True
        samples = RunningMoments()
        mean = slab.compute_mean() if self.settings.conditional else None
        try:
            for number in range(self.settings.n_samples):

                def report(step: Step, done: int = n_finished * levels + number * self.settings.num_iter) -> None:
                    if self.progress is not None:
                        self.progress(done + step.level + 1, len(self.parts) * levels, {"sigma": step.sigma})

                samples.add(slab.draw(self.seed, number, slab.condition.linear if mean is None else mean, report))
            if self.progress is not None and not self.settings.n_samples:
                self.progress(n_finished + 1, len(self.parts), {})
        finally:  # an interrupted slab has the network's mean, or that of its samples so far
            from_network = self.settings.std == "network"
            if samples.count or from_network or not self.settings.n_samples:
                volume = samples.mean if mean is None or self.settings.mean == "samples" else mean
                variance = slab.estimate_error_variance(volume) if from_network else samples.variance()
                part.count, part.variance = samples.count, None if variance is None else slab.data.crop(variance).clone()
                part.mean = slab.data.crop(volume).clone()
                seen = part.rows_with_halo
                own = slice(part.rows.start - seen.start, part.rows.stop - seen.start)
                part.squared_residual = slab.data.squared_residual(volume, self.projections[:, seen.start : seen.stop], own)
                part.misfit_per_ray = float(compute_tilt_misfits(slab.data, volume.contiguous()).median())

    def compare_tilts(self) -> TiltComparison:
        """Compare the tilts with the reprojections of a mean of all rows, in the prior's units."""
        slab = self._make_slab(range(self.projector.geometry.shape[1]))
        start = slab.condition.linear
        volume = slab.compute_mean() if self.settings.conditional else slab.draw(self.seed, 0, start)
        return slab.compare_tilts(volume.contiguous())

    def _make_slab(self, rows: range) -> PosteriorSlab:
        geometry = self.projector.geometry.rows(rows.start, rows.stop)
        weights, first_row = self.weights, self.settings.first_row
        if weights is not None and weights.ndim == 3:
            weights = weights[:, rows.start : rows.stop]
        return PosteriorSlab(
            self.projections[:, rows.start : rows.stop], self.projector.with_geometry(geometry), self.prior, self.settings,
            self.section.select_rows(rows), rows=range(rows.start + first_row, rows.stop + first_row), weights=weights,
            scale=self.scale,
        )  # fmt: skip

    def residual(self) -> float:
        """Return ``||W^(1/2) (p - A x)|| / ||W^(1/2) p||`` without a mask; material outside the field of view explains part."""
        left, whole = (sum(part.squared_residual[i] for part in self.parts) for i in (0, 1))
        return math.sqrt(left / max(whole, 1e-30))

    def misfit_per_ray(self) -> float:
        """Return the mean's squared residual per ray in units of the expected noise: the median tilt of the worst slab.

        It is about 1 for tissue of the prior's kind, and 3 or more where the prior contradicts the tilts.
        """
        return max(part.misfit_per_ray for part in self.parts)

    def is_complete(self) -> bool:
        """Return whether every slab has a sample."""
        return bool(self.parts) and all(part.mean is not None for part in self.parts)

    def smallest_tilt_weights(self) -> list[float]:
        """Return each tilt's smallest weight over the slabs."""
        weights = torch.stack([part.tilt_weights for part in self.parts if part.tilt_weights is not None])
        return [float(v) for v in weights.amin(0)]

    def blend_moments(self) -> tuple[torch.Tensor, torch.Tensor | None, int]:
        """Return mean and variance of all rows, blended where slabs overlap, and the number of samples."""
        count = min(part.count for part in self.parts)
        variances = [part.variance for part in self.parts if part.variance is not None]
        mean = self._blend([part.mean for part in self.parts if part.mean is not None])
        return mean, self._blend(variances) if len(variances) == len(self.parts) else None, count

    def _blend(self, volumes: list[torch.Tensor]) -> torch.Tensor:
        nz, ny, nx = self.projector.geometry.shape
        device = volumes[0].device
        out, total = torch.zeros(nz, ny, nx, device=device), torch.zeros(ny, device=device)
        for part, volume in zip(self.parts, volumes, strict=True):
            rows, seen = part.rows, part.rows_with_halo
            y = torch.arange(seen.start, seen.stop, device=device, dtype=torch.float32) + 0.5
            # from 1 inside the slab to 0 at the halo's end, where there is a neighbour; one half at the border
            low = (y - rows.start) / (2 * HALO) + 0.5 if seen.start < rows.start else torch.ones_like(y)
            high = (rows.stop - y) / (2 * HALO) + 0.5 if seen.stop > rows.stop else torch.ones_like(y)
            weight = torch.minimum(low, high).clamp(1e-3, 1.0)
            out[:, seen.start : seen.stop] += volume * weight[:, None]
            total[seen.start : seen.stop] += weight
        return out.div_(total[:, None])
