"""The methods ``diffusion`` and ``diffusion.slice``: a trained prior and the measured tilts, in turn."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from tomoprior.errors import InputError, Interrupted
from tomoprior.geometry import Geometry
from tomoprior.methods import checks
from tomoprior.methods.base import OVERHEAD, Progress
from tomoprior.methods.diffusion import determined, fitness
from tomoprior.methods.diffusion.grid import onto_prior_grid
from tomoprior.methods.diffusion.measurement import padding
from tomoprior.methods.diffusion.prior import Prior, shipped
from tomoprior.methods.diffusion.scale import Scale
from tomoprior.methods.diffusion.settings import DiffusionSettings
from tomoprior.methods.diffusion.slab import Moments, Slab
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction

#: Rows worked on at a time, and rows on either side that they see besides: a tile's reach.
ROWS, HALO = 128, 16

#: Arrays of a slab's and of its projections' size at the peak, and bytes of the network's layers per voxel of a batch of tiles.
SLAB_ARRAYS, RAY_ARRAYS, LAYERS = 16.0, 12.0, 700.0

#: One pass of the network over a voxel costs about as much as this many rays through it, forward and back.
NETWORK_COST = 3000.0

INFERRED = (
    "what no tilt measured - the missing wedge, the gaps between tilts, detail below their noise - is inferred from the tissue "
    "that the prior was trained on; the samples' standard deviation says how far they agree there, not that it is so"
)


class Diffusion:
    """Samples of ``p(volume | tilts)`` for a prior that a 3-D diffusion model has learned from other volumes."""

    name = "diffusion"
    summary = "3-D diffusion prior held to the tilts: mean and standard deviation of posterior samples"
    citation = "Deng et al., arXiv:2510.06516 (2025); Karras et al., NeurIPS 2022 (EDM)"
    Settings = DiffusionSettings
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
            f"       for voxels of {low:g} to {high:g} {prior.unit}, slabs up to {prior.tile[0]} voxels thick, tilt ranges of "
            f"{least:g} to {most:g} degrees"
        )

    def prior(self, settings: Any) -> Prior:
        """The prior that the settings name; read once."""
        return load(settings.prior or self.default_prior)

    def memory(self, geometry: Geometry, settings: Any) -> int:
        """Bytes at the peak beside the projections given and the prepared projector: bounded in y but for the result."""
        prior = self.prior(settings)
        nz, ny, nx = geometry.shape
        height, tile_y, tile_x = prior.tile
        wide = max(nx + 2 * padding(geometry.with_thickness(height)), tile_x)
        rows = max(min(ny, self._rows(settings, ny) + 2 * HALO), tile_y)
        slab = height * rows * wide
        rays = geometry.n_angles * rows * geometry.detector[1]
        layers = 2 * math.prod(prior.tile) * LAYERS
        return OVERHEAD + int(4 * (SLAB_ARRAYS * slab + RAY_ARRAYS * rays + 5 * nz * ny * nx) + layers)

    def work(self, geometry: Geometry, settings: Any) -> float:
        """Cost in pairs of a forward projection and an adjoint."""
        wider = 1 + 2 * padding(geometry) / geometry.shape[2]
        passes = settings.samples * settings.num_iter
        return float(wider * passes * (settings.num_cg + 1.5 + NETWORK_COST / geometry.n_angles))

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
        if initial is not None:
            raise InputError(f"{self.name} starts from its own linear estimate; leave the initial volume out")
        checks.check_projections(projections, projector)
        checks.expand_weights(weights, projector)
        inside = checks.expand_mask(mask, projector)
        prior = self.prior(settings)
        fitness.check(projector.geometry, prior, beyond=not settings.check_prior)
        size = fitness.voxel_size(projector.geometry, prior, check=settings.check_prior)
        device = projections.device
        prior = replace(prior, denoiser=prior.denoiser.to(device))
        grid = onto_prior_grid(projector.geometry, prior.tile[0], size, prior.unit)
        with torch.no_grad():
            run = _Run(projections, projector.with_geometry(grid.geometry), weights, prior, settings, progress)
            try:
                run.all_slabs(self._rows(settings, projector.geometry.shape[1]))
            except KeyboardInterrupt:
                if not run.complete():
                    raise
                raise Interrupted(self._result(run, projector, grid.crop, inside)) from None
            return self._result(run, projector, grid.crop, inside)

    @staticmethod
    def _rows(settings: DiffusionSettings, ny: int) -> int:
        return min(ny, ROWS if settings.rows == "auto" else settings.rows)

    def _result(self, run: _Run, projector: Projector, crop: Any, inside: torch.Tensor | None) -> Reconstruction:
        settings, prior, scale = run.settings, run.prior, run.scale
        assert scale is not None
        mean, variance, count = run.gathered()
        span = float(np.rad2deg(np.ptp(projector.geometry.angles)))
        volume = crop(mean).mul(scale.gain).add_(scale.mean)
        std = None if variance is None else crop(_around(variance)).clamp_min(0).sqrt_().mul_(scale.gain * prior.spread(span))
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
                "trust": run.trust(),
                "calibration": prior.spread(span),
                "determined": known,
                "statement": statement(projector.geometry, known, run.trust(), count),
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


@dataclass
class _Part:
    """A slab's rows, without and with its halo, and what its samples amount to."""

    rows: range
    seen: range
    samples: Moments
    estimates: Moments
    mean: torch.Tensor | None = None
    trust: torch.Tensor | None = None
    misfit: tuple[float, float] = (0.0, 0.0)


class _Run:
    """All slabs of one reconstruction; each is sampled to its end before the next is begun."""

    def __init__(
        self, projections: torch.Tensor, projector: Projector, weights: torch.Tensor | None, prior: Prior,
        settings: DiffusionSettings, progress: Progress | None,
    ) -> None:  # fmt: skip
        self.projections, self.projector, self.weights = projections, projector, weights
        self.prior, self.settings, self.progress = prior, settings, progress
        self.parts: list[_Part] = []
        self.scale: Scale | None = None
        self.shares: torch.Tensor | None = None
        self.seed = int(torch.randint(2**31, (1,)))  # of the caller's generator, which the run's seed has set

    def all_slabs(self, rows: int) -> None:
        """Sample every slab."""
        ny = self.projector.geometry.shape[1]
        for first in range(0, ny, rows):
            own = range(first, min(first + rows, ny))
            self.parts.append(_Part(own, range(max(0, first - HALO), min(ny, own.stop + HALO)), Moments(), Moments()))
        total = len(self.parts) * self.settings.samples * self.settings.num_iter
        done = 0
        # the middle slab first: the whole volume takes its scale
        for part in sorted(self.parts, key=lambda p: abs(p.rows.start + p.rows.stop - ny)):
            slab = self._slab(part.seen)
            self.scale = slab.data.scale
            part.trust = slab.data.trust
            if self.shares is None:
                self.shares = determined.share(slab.data, self.prior.spectrum, min(ny, 64))
            for number in range(self.settings.samples):

                def each(step: Any, done: int = done) -> None:
                    if self.progress is not None:
                        self.progress(done + step.level + 1, total, {"sigma": step.sigma})

                drawn, mean = slab.draw(self.seed, number, each)
                part.samples.add(slab.data.crop(drawn))
                part.estimates.add(mean)
                assert part.estimates.mean is not None
                settled = slab.settled(part.estimates.mean)
                part.mean, part.misfit = slab.data.crop(settled), self._misfit(slab, settled, part)
                done += self.settings.num_iter

    def _slab(self, seen: range) -> Slab:
        geometry = self.projector.geometry
        weights = self.weights
        if weights is not None and weights.ndim == 3:
            weights = weights[:, seen.start : seen.stop]
        return Slab(
            self.projections[:, seen.start : seen.stop], self.projector.with_geometry(geometry.rows(seen.start, seen.stop)),
            self.prior, self.settings, rows=seen, weights=weights, scale=self.scale,
        )  # fmt: skip

    def _misfit(self, slab: Slab, settled: torch.Tensor, part: _Part) -> tuple[float, float]:
        """``||W^(1/2) (p - A x)||^2`` and ``||W^(1/2) p||^2`` over the part's own rows, of rays that stay in the grid."""
        data = slab.data
        own = slice(part.rows.start - part.seen.start, part.rows.stop - part.seen.start)
        w = (data.w * data.trust[:, None, None])[:, own]
        r = (data.y - data.A(settled))[:, own]
        p = self.projections[:, part.rows.start : part.rows.stop] / data.scale.gain
        return float((r * r * w).sum()), float((p * p * w).sum())

    def residual(self) -> float:
        """``||W^(1/2) (p - A x)|| / ||W^(1/2) p||`` before a mask; what lies beside the field of view takes its share of p."""
        left, whole = (sum(part.misfit[i] for part in self.parts) for i in (0, 1))
        return math.sqrt(left / max(whole, 1e-30))

    def complete(self) -> bool:
        """Whether every slab has a sample."""
        return bool(self.parts) and all(part.mean is not None for part in self.parts)

    def trust(self) -> list[float]:
        """Of each tilt, the least over the slabs."""
        found = torch.stack([part.trust for part in self.parts if part.trust is not None])
        return [float(v) for v in found.amin(0)]

    def gathered(self) -> tuple[torch.Tensor, torch.Tensor | None, int]:
        """The mean and the samples' variance over all rows, blended where slabs share some, and how many samples there were."""
        count = min(part.samples.count for part in self.parts)
        mean = self._blended([part.mean for part in self.parts])
        variances = [part.samples.variance() for part in self.parts]
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
        return None if out is None or total is None else out / total[:, None]


def statement(geometry: Geometry, known: dict[str, float], trust: list[float], samples: int) -> list[str]:
    """What the tilts can and cannot know, in sentences for the user."""
    degrees = np.rad2deg(geometry.angles)
    size, unit = geometry.voxel_size, geometry.unit

    def finest(axis: str) -> str:
        voxels = known[f"finest_{axis}"]
        return f"structure coarser than {voxels * size:.3g} {unit}" if voxels else "no structure"

    power = f"{100 * known['power']:.0f} % of the structure's power"
    lines = [
        f"{geometry.n_angles} tilts over {np.ptp(degrees):.4g} degrees determine {power}: along x {finest('x')}, along z (the "
        f"beam) {finest('z')}; the rest is inferred from the prior's tissue, not measured"
    ]
    if voteless := [i for i, v in enumerate(trust) if v < 0.2]:
        named = ", ".join(f"{i} ({degrees[i]:.1f} deg)" for i in voteless)
        lines.append(f"tilt(s) {named} do not fit with the others and have hardly a vote")
    if samples < 2:
        lines.append("one sample gives no standard deviation; take samples=8 to see what is uncertain")
    return lines


def _around(variance: torch.Tensor) -> torch.Tensor:
    """Means over 3 x 3 x 3 voxels: a few samples tell little of a single one."""
    return torch.nn.functional.avg_pool3d(variance[None], 3, 1, 1, count_include_pad=False)[0]


@lru_cache(maxsize=4)
def load(name: str) -> Prior:
    """A prior, read once."""
    return Prior.load(name)
