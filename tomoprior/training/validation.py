"""How well a denoiser does on tissue that it was not trained on: one step from pure noise, which is a regression."""

from __future__ import annotations

import math

import numpy as np
import torch

from tomoprior.methods.diffusion.denoiser import Denoiser
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.methods.diffusion.tiling import TiledDenoiser
from tomoprior.simulate.tissue import Tissue
from tomoprior.training.draws import observe, simulated
from tomoprior.training.settings import TrainingSettings

#: Tilt range and step in degrees of the series that a score is taken over.
SERIES = ((10, 1), (40, 2), (60, 2), (120, 2))

#: Noise level of the one step: next to nothing of the volume is left.
SIGMA = 80.0


class Validation:
    """Series of tissue set aside; the same for every training."""

    def __init__(self, tissue: Tissue, spectrum: Spectrum, settings: TrainingSettings) -> None:
        self.settings = settings
        low, high = settings.voxel_size
        size = max(math.sqrt(low * high), tissue.voxel_size)
        small = settings.model_copy(update={"field": (settings.tile, settings.tile * 2)})
        self.cases = []
        for index, (span, step) in enumerate(SERIES):
            tilts = np.deg2rad(np.arange(-span / 2, span / 2 + 1e-6, step))
            made = simulated(tissue, small, tilts, size, 1000 + index, outliers=0.0)
            data, truth, told = observe(made, spectrum, flat=settings.flat)
            self.cases.append((data, truth, told))

    def score(self, denoiser: Denoiser) -> tuple[float, float]:
        """Mean PSNR in dB (densities, range 1) of the denoiser and of the linear estimate that it is given."""
        rows = self.table(denoiser)
        return float(np.mean([r["psnr"] for r in rows])), float(np.mean([r["linear_psnr"] for r in rows]))

    def table(self, denoiser: Denoiser) -> list[dict[str, float]]:
        """A row for each series."""
        rows = []
        for (span, step), (data, truth, told) in zip(SERIES, self.cases, strict=True):
            run = TiledDenoiser(denoiser, self.settings.tile_shape, told)
            noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
            with torch.no_grad():
                found = run(told.linear + SIGMA * noise, SIGMA)
            rows.append(
                {"range": span, "step": step, "psnr": _psnr(data, found, truth), "linear_psnr": _psnr(data, told.linear, truth)}
            )
        return rows


def _psnr(data, found: torch.Tensor, truth: torch.Tensor) -> float:  # type: ignore[no-untyped-def]
    error = data.crop(found - truth) * data.scale.gain
    return float(-10 * torch.log10(error.square().mean()))
