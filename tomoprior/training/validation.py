"""How well a denoiser does on tissue that it was not trained on: one step from pure noise, which is a regression."""

from __future__ import annotations

import numpy as np
import torch

from tomoprior.methods.diffusion.denoiser import Denoiser
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.methods.diffusion.tiling import TiledDenoiser
from tomoprior.simulate.tissue import Tissue
from tomoprior.training.settings import TrainingSettings
from tomoprior.training.trials import Trial

#: Tilt range and step in degrees of the series that a score is taken over.
SERIES = ((10, 1), (40, 2), (60, 2), (120, 2))

#: First seed of these series.
SEED = 1000

#: Noise level of the one step: next to nothing of the volume is left.
SIGMA = 80.0


class Validation:
    """Series of tissue set aside; the same for every training."""

    def __init__(self, tissue: Tissue, spectrum: Spectrum, settings: TrainingSettings) -> None:
        self.settings = settings
        self.trials = [Trial.of(tissue, spectrum, settings, *tilts, SEED + i) for i, tilts in enumerate(SERIES)]

    def score(self, denoiser: Denoiser) -> tuple[float, float]:
        """Mean PSNR in dB (densities, range 1) of the denoiser and of the linear estimate that it is given."""
        rows = self.table(denoiser)
        return float(np.mean([r["psnr"] for r in rows])), float(np.mean([r["linear_psnr"] for r in rows]))

    def table(self, denoiser: Denoiser) -> list[dict[str, float]]:
        """A row for each series."""
        rows = []
        for (span, step), trial in zip(SERIES, self.trials, strict=True):
            linear = trial.told.linear
            noise = torch.randn(linear.shape, generator=torch.Generator().manual_seed(0))
            with torch.no_grad():
                found = TiledDenoiser(denoiser, self.settings.tile_shape, trial.told)(linear + SIGMA * noise, SIGMA)
            rows.append({"range": span, "step": step, "psnr": trial.psnr(found), "linear_psnr": trial.psnr(linear)})
        return rows
