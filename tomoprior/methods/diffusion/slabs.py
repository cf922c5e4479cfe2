"""All slabs of one reconstruction: sampled one after the other, and blended where they overlap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from tomoprior.methods.diffusion import determined, trust
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.methods.diffusion.scale import Scale
from tomoprior.methods.diffusion.section import section_of
from tomoprior.methods.diffusion.settings import DiffusionSettings
from tomoprior.methods.diffusion.slab import Moments, PosteriorSlab
from tomoprior.progress import Progress
from tomoprior.projector import Projector

#: Rows on either side of its own that a slab sees: a tile's reach.
HALO = 16


@dataclass
class SlabPosterior:
    """A slab's rows, without and with its halo, and what its samples amount to."""

    rows: range
    seen: range
    count: int = 0
    mean: torch.Tensor | None = None
    variance: torch.Tensor | None = None
    trust: torch.Tensor | None = None
    misfit: tuple[float, float] = (0.0, 0.0)
    misfit_per_ray: float = 1.0


class PosteriorSlabs:
    """All slabs of one reconstruction; each is sampled to its end before the next is begun."""

    def __init__(
        self, projections: torch.Tensor, projector: Projector, weights: torch.Tensor | None, prior: Prior,
        settings: DiffusionSettings, progress: Progress | None, mask: torch.Tensor | None = None,
    ) -> None:  # fmt: skip
        self.projections, self.projector, self.weights = projections, projector, weights
        self.prior, self.settings, self.progress = prior, settings, progress
        self.section = section_of(
            projections, projector, prior.spectrum, settings, weights=weights, mask=mask, flat=prior.denoiser.unet.shape.flat
        )
        self.parts: list[SlabPosterior] = []
        self.scale = None if settings.scale is None else Scale(*settings.scale)
        self.shares: torch.Tensor | None = None
        self._adapted = False
        self.seed = int(torch.randint(2**31, (1,)))  # of the caller's generator, which the run's seed has set

    def all_slabs(self, rows: int) -> None:
        """Sample every slab."""
        ny = self.projector.geometry.shape[1]
        for first in range(0, ny, rows):
            own = range(first, min(first + rows, ny))
            self.parts.append(SlabPosterior(own, range(max(0, first - HALO), min(ny, own.stop + HALO))))
        # the middle slab first: the whole volume takes its scale
        for number, part in enumerate(sorted(self.parts, key=lambda p: abs(p.rows.start + p.rows.stop - ny))):
            self._sample(part, number)

    def _sample(self, part: SlabPosterior, before: int) -> None:
        """Sample a slab, ``before`` others being done; nothing of it but its mean and variance is kept."""
        levels = self.settings.samples * self.settings.num_iter
        slab = self._slab(part.seen)
        self.scale = slab.data.scale
        part.trust = slab.data.trust
        if self.shares is None:
            self.shares = determined.share(slab.data, self.prior.spectrum, min(self.projector.geometry.shape[1], 64))
        if self.settings.adapt and not self._adapted:  # the middle slab's tilts speak for all
            self.prior, self._adapted = slab.adapted(self.settings.adapt, self.seed), True
        samples = Moments()
        mean = slab.mean() if self.settings.conditional else None
        try:
            for number in range(self.settings.samples):

                def each(step: Any, done: int = before * levels + number * self.settings.num_iter) -> None:
                    if self.progress is not None:
                        self.progress(done + step.level + 1, len(self.parts) * levels, {"sigma": step.sigma})

                samples.add(slab.draw(self.seed, number, slab.told.linear if mean is None else mean, each))
        finally:  # an interrupted slab has the network's mean, or that of the samples that it got
            whole = samples.mean if mean is None or self.settings.mean == "samples" else mean
            if whole is not None and samples.count:
                variance = samples.variance()
                part.count, part.variance = samples.count, None if variance is None else slab.data.crop(variance).clone()
                part.mean = slab.data.crop(whole).clone()
                own = slice(part.rows.start - part.seen.start, part.rows.stop - part.seen.start)
                seen = self.projections[:, part.seen.start : part.seen.stop]
                part.misfit = slab.data.squared_residual(whole, seen, own)
                part.misfit_per_ray = float(trust.misfits(slab.data, whole.contiguous()).median())

    def _slab(self, seen: range) -> PosteriorSlab:
        geometry = self.projector.geometry
        weights = self.weights
        if weights is not None and weights.ndim == 3:
            weights = weights[:, seen.start : seen.stop]
        return PosteriorSlab(
            self.projections[:, seen.start : seen.stop], self.projector.with_geometry(geometry.rows(seen.start, seen.stop)),
            self.prior, self.settings, self.section.rows(seen), rows=range(seen.start + self.settings.first_row, seen.stop +
            self.settings.first_row), weights=weights, scale=self.scale,
        )  # fmt: skip

    def residual(self) -> float:
        """``||W^(1/2) (p - A x)|| / ||W^(1/2) p||`` before a mask; what lies beside the field of view takes its share of p."""
        left, whole = (sum(part.misfit[i] for part in self.parts) for i in (0, 1))
        return math.sqrt(left / max(whole, 1e-30))

    def misfit_per_ray(self) -> float:
        """Squared residual of the mean in units of the noise that is expected: of the median tilt, the most over the slabs.

        About 1 for what the prior was trained on; 3 and more where it wants something that the tilts do not show.
        """
        return max(part.misfit_per_ray for part in self.parts)

    def complete(self) -> bool:
        """Whether every slab has a sample."""
        return bool(self.parts) and all(part.mean is not None for part in self.parts)

    def trust(self) -> list[float]:
        """Of each tilt, the least over the slabs."""
        found = torch.stack([part.trust for part in self.parts if part.trust is not None])
        return [float(v) for v in found.amin(0)]

    def gathered(self) -> tuple[torch.Tensor, torch.Tensor | None, int]:
        """The mean and the samples' variance over all rows, blended where slabs share some, and how many samples there were."""
        count = min(part.count for part in self.parts)
        mean = self._blended([part.mean for part in self.parts])
        variances = [part.variance for part in self.parts]
        assert mean is not None
        return mean, self._blended(variances) if all(v is not None for v in variances) else None, count

    def _blended(self, volumes: list[torch.Tensor | None]) -> torch.Tensor | None:
        out: torch.Tensor | None = None
        total: torch.Tensor | None = None
        for part, volume in zip(self.parts, volumes, strict=True):
            assert volume is not None
            if out is None or total is None:
                nz, _, nx = volume.shape
                ny = self.projector.geometry.shape[1]
                out = torch.zeros(nz, ny, nx, device=volume.device)
                total = torch.zeros(ny, device=volume.device)
            at = torch.arange(part.seen.start, part.seen.stop, device=volume.device, dtype=torch.float32) + 0.5
            # from 1 within to 0 at the halo's end, where there is a neighbour; half at the border itself
            low = (at - part.rows.start) / (2 * HALO) + 0.5 if part.seen.start < part.rows.start else torch.ones_like(at)
            high = (part.rows.stop - at) / (2 * HALO) + 0.5 if part.seen.stop > part.rows.stop else torch.ones_like(at)
            weight = torch.minimum(low, high).clamp(1e-3, 1.0)
            out[:, part.seen.start : part.seen.stop] += volume * weight[:, None]
            total[part.seen.start : part.seen.stop] += weight
        return None if out is None or total is None else out.div_(total[:, None])
