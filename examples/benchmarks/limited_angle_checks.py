"""Bars that need no table: the denoiser by itself, clean series of tissue without faces, and the time."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from limited_angle_bars import Bars
from limited_angle_cases import CLEAN, SCORED, TUNING, case
from limited_angle_opponents import strengths, tuned
from limited_angle_scores import BANDS, band_powers

from tomoprior import metrics, reconstruct
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.simulate import Tissue
from tomoprior.training import TrainingSettings, sample_tissue
from tomoprior.training.simulator import Simulator
from tomoprior.training.validation import SEED, Validation

#: Decibels that the unconditional denoiser is ahead of the linear one, at each noise level.
GAINS = {0.2: 1.5, 0.4: 1.3, 0.8: 1.2}

#: Seconds that 128 x 128 x 32 voxels, 31 tilts and 8 samples may take.
SECONDS = 360

#: Tilt ranges of clean series, degrees.
CLEAN_RANGES = (60, 10)


class Block(Validation):
    """A block of tissue set aside that fills its grid, to judge a denoiser by, without any series."""

    def __init__(self, tissue: Tissue, prior: Prior) -> None:
        height, tile, _ = prior.tile
        self.spectrum = prior.spectrum
        self.settings = TrainingSettings(
            height=height, tile_size=tile, field=(tile, tile), voxel_size=prior.voxel_sizes, turned=0.0
        )
        self._simulator = Simulator([tissue], prior.spectrum, self.settings)
        self.block = self._simulator.filled_block(SEED)

    def blocks(self, count: int) -> list[torch.Tensor]:
        """``count`` blocks of tissue in the prior's units."""
        return [self._simulator.filled_block(SEED + i).truth.float() for i in range(count)]


def denoiser(bars: Bars, tissue: Tissue, prior: Prior) -> None:
    """The unconditional denoiser against the best linear one."""
    gains = Block(tissue, prior).gains(prior.denoiser)
    for level, bar in GAINS.items():
        bars.least(f"denoiser, gain in dB over the linear one at noise level {level:g}", gains[level], bar)


def unconditional(tissue: Tissue, prior: Prior, count: int = 4) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Samples of tissue and true blocks of the same shape; prints the ratios of their powers."""
    blocks = [b.numpy() for b in Block(tissue, prior).blocks(count)]
    samples = [s.numpy() for s in sample_tissue(prior, count, blocks[0].shape)]
    mine, true = (np.mean([band_powers(v - v.mean()) for v in volumes], axis=0) for volumes in (samples, blocks))
    text = ", ".join(f"{low:g}: {ratio:.2f}" for low, ratio in zip(BANDS, mine / true, strict=False))
    print(f"unconditional samples, power over the truth's in bands from {text}", flush=True)
    return samples, blocks


def clean(bars: Bars, training: Tissue, validation: Tissue, own: dict[str, Any]) -> None:
    """Tissue that fills the grid, recorded without error: ``diffusion`` must not lose against ``tv`` at its best."""
    for span in CLEAN_RANGES:
        key = ("unknown", "tv")
        opponent = tuned(strengths([case(training, span, TUNING + i, microscope=CLEAN) for i in range(2)], [key]))[key]
        c = case(validation, span, SCORED, microscope=CLEAN)
        tv = metrics.psnr(opponent(c).volume, c.truth, data_range=1.0)
        quick = {"samples": 1, "num_iter": 1, **own}
        for text, values in (("", {}), (", told that the grid is filled", {"filled": True})):
            found = reconstruct(c.series, "diffusion", **quick, **values)
            ours = metrics.psnr(found.volume, c.truth, data_range=1.0)
            faces = found.provenance["section"]["faces"]
            print(f"clean, {span} degrees{text}: {ours:.2f} dB, tv {tv:.2f}, faces at {faces}", flush=True)
            if not values:
                bars.least(f"clean, {span} degrees, PSNR over tv", ours - tv, 0)


def speed(bars: Bars, validation: Tissue, own: dict[str, Any]) -> None:
    """128 x 128 x 32 voxels, 31 tilts, 8 samples."""
    c = case(validation, 60, SCORED, shape=(32, 128, 128))
    start = time.perf_counter()
    reconstruct(c.series, "diffusion", samples=8, **own)
    bars.most("seconds for 128 x 128 x 32 voxels, 31 tilts, 8 samples", time.perf_counter() - start, SECONDS)
