"""Bars that need no table: the denoiser alone, clean series of tissue without faces, and the run time."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from limited_angle_bars import Bars
from limited_angle_cases import CLEAN, SCORED_SEED, TUNING_SEED, make_case
from limited_angle_opponents import make_tuned_runs, tune_settings
from limited_angle_scores import BANDS, compute_band_powers

from tomoprior import metrics, reconstruct
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.simulate import Tissue
from tomoprior.training import TrainingSettings, sample_tissue
from tomoprior.training.simulator import Simulator
from tomoprior.training.validation import SEED, Validation

#: Lead of the unconditional denoiser over the linear one in dB, at noise levels.
GAINS = {0.2: 1.5, 0.4: 1.3, 0.8: 1.2}

#: Longest time for 128 x 128 x 32 voxels, 31 tilts and 8 samples, seconds.
MAX_SECONDS = 360

#: Tilt ranges of clean series, degrees.
CLEAN_RANGES = (60, 10)


class Block(Validation):
    """Validation blocks of tissue that fill the grid, for a denoiser without any series."""

    def __init__(self, tissue: Tissue, prior: Prior) -> None:
        height, tile, _ = prior.tile
        self.spectrum = prior.spectrum
        self.settings = TrainingSettings(
            height=height, tile_size=tile, field=(tile, tile), voxel_size=prior.voxel_sizes, turned=0.0
        )
        self._simulator = Simulator([tissue], prior.spectrum, self.settings)
        self.block = self._simulator.filled_block(SEED)

    def draw_blocks(self, count: int) -> list[torch.Tensor]:
        """Return ``count`` blocks of tissue in the prior's units."""
        return [self._simulator.filled_block(SEED + i).truth.float() for i in range(count)]


def check_denoiser(bars: Bars, tissue: Tissue, prior: Prior) -> None:
    """Compare the unconditional denoiser with the best linear one."""
    gains = Block(tissue, prior).gains(prior.denoiser)
    for level, bar in GAINS.items():
        bars.check_least(f"denoiser, gain in dB over the linear one at noise level {level:g}", gains[level], bar)


def sample_unconditionally(tissue: Tissue, prior: Prior, count: int = 4) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return samples of tissue and true blocks of the same shape; print the ratios of their powers."""
    blocks = [b.numpy() for b in Block(tissue, prior).draw_blocks(count)]
    samples = [s.numpy() for s in sample_tissue(prior, count, blocks[0].shape)]
    sample_power, true_power = (
        np.mean([compute_band_powers(v - v.mean()) for v in volumes], axis=0) for volumes in (samples, blocks)
    )
    text = ", ".join(f"{low:g}: {ratio:.2f}" for low, ratio in zip(BANDS, sample_power / true_power, strict=False))
    print(f"unconditional samples, power over the truth's in bands from {text}", flush=True)
    return samples, blocks


def check_clean_series(bars: Bars, training: Tissue, validation: Tissue, prior_setting: dict[str, Any]) -> None:
    """Check ``diffusion`` against tuned ``tv`` on tissue that fills the grid, recorded without errors."""
    for span in CLEAN_RANGES:
        key = ("unknown", "tv")
        opponent = make_tuned_runs(
            tune_settings([make_case(training, span, TUNING_SEED + i, microscope=CLEAN) for i in range(2)], [key])
        )[key]
        c = make_case(validation, span, SCORED_SEED, microscope=CLEAN)
        tv = metrics.psnr(opponent(c).volume, c.truth, data_range=1.0)
        quick = {"samples": 0, **prior_setting}
        for text, values in (("", {}), (", with filled=True", {"filled": True})):
            result = reconstruct(c.series, "diffusion", **quick, **values)
            diffusion = metrics.psnr(result.volume, c.truth, data_range=1.0)
            faces = result.provenance["section"]["faces"]
            print(f"clean, {span} degrees{text}: {diffusion:.2f} dB, tv {tv:.2f}, faces at {faces}", flush=True)
            if not values:
                bars.check_least(f"clean, {span} degrees, PSNR over tv", diffusion - tv, 0)


def check_speed(bars: Bars, validation: Tissue, prior_setting: dict[str, Any]) -> None:
    """Check the time for 128 x 128 x 32 voxels, 31 tilts and 8 samples."""
    c = make_case(validation, 60, SCORED_SEED, shape=(32, 128, 128))
    start = time.perf_counter()
    reconstruct(c.series, "diffusion", samples=8, std="samples", **prior_setting)
    bars.check_most("seconds for 128 x 128 x 32 voxels, 31 tilts, 8 samples", time.perf_counter() - start, MAX_SECONDS)
