"""Scores of a denoiser on validation tissue: PSNR of its mean, and its gain over a linear denoiser."""

from __future__ import annotations

import numpy as np
import torch

from tomoprior.methods.diffusion.denoiser import N_SERIES_NUMBERS as SERIES_NUMBERS
from tomoprior.methods.diffusion.denoiser import Condition, Denoiser
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.methods.diffusion.tiling import TiledDenoiser
from tomoprior.simulate.tissue import Tissue
from tomoprior.training.draws import Draw
from tomoprior.training.settings import TrainingSettings
from tomoprior.training.simulator import Simulator
from tomoprior.training.trials import Trial

#: Tilt range and step, in degrees, of the series of a score.
SERIES = ((10, 1), (20, 2), (60, 2), (120, 2))

#: Noise levels, in the prior's units, of the comparison of the unconditional denoiser with a linear one.
LEVELS = (0.2, 0.4, 0.8, 1.6)

#: First seed of these series.
SEED = 1000


class Validation:
    """Series and a block of validation tissue; the same for every training."""

    def __init__(
        self, tissue: Tissue, spectrum: Spectrum, settings: TrainingSettings, device: torch.device | str = "cpu"
    ) -> None:
        self.settings, self.spectrum = settings, spectrum
        simulator = Simulator([tissue], spectrum, settings.model_copy(update={"turned": 0.0}), device)
        self.trials = [Trial.simulate(simulator, *tilts, SEED + i) for i, tilts in enumerate(SERIES)]
        self.block = simulator.filled_block(SEED)

    def score(self, denoiser: Denoiser) -> dict[str, float]:
        """Return means over the series: PSNR in dB (density, range 1) of the denoiser and of its linear estimate."""
        rows = self.table(denoiser)
        names = {"validation_psnr": "psnr", "linear_psnr": "linear_psnr", "inner": "inner", "linear_inner": "linear_inner"}
        means = {name: float(np.mean([r[key] for r in rows])) for name, key in names.items()}
        return means | {f"gain_{level:g}": gain for level, gain in self.gains(denoiser).items()}

    def table(self, denoiser: Denoiser) -> list[dict[str, float]]:
        """Return a row for each series: PSNR of the whole, and inside the section without the mean error of each plane."""
        rows = []
        for (span, step), trial in zip(SERIES, self.trials, strict=True):
            with torch.no_grad():
                mean = TiledDenoiser(denoiser, self.settings.tile_shape, trial.condition).mean()
            linear = trial.condition.linear
            rows.append({
                "range": span, "step": step, "psnr": trial.psnr(mean), "linear_psnr": trial.psnr(linear),
                "inner": trial.inner_psnr(mean), "linear_inner": trial.inner_psnr(linear),
            })  # fmt: skip
        return rows

    def gains(self, denoiser: Denoiser) -> dict[float, float]:
        """Return the gain in dB of the unconditional denoiser over a linear one at each noise level of ``LEVELS``."""
        run = TiledDenoiser(denoiser, self.settings.tile_shape, unconditional(self.block), conditioned=False)
        truth = self.block.truth.float()
        gains = {}
        for level in LEVELS:
            noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0)).to(truth.device)
            noisy = truth + level * noise
            with torch.no_grad():
                errors = [float((v - truth).square().mean()) for v in (run(noisy, level), self._linear(noisy, level))]
            gains[level] = 10 * float(np.log10(errors[1] / errors[0]))
        return gains

    def _linear(self, noisy: torch.Tensor, level: float) -> torch.Tensor:
        """Return the best linear estimate for this spectrum: ``S / (S + level^2)`` on the volume and its mirror images."""
        axes = (0, 1, 2)
        wide = noisy
        for axis in axes:
            wide = torch.cat([wide, wide.flip(axis)], axis)
        k = [torch.fft.fftfreq(n, device=noisy.device) for n in wide.shape]
        k2 = k[0][:, None, None] ** 2 + k[1][:, None] ** 2 + k[2] ** 2
        size = float(self.block.condition.numbers[SERIES_NUMBERS + 1].exp()) * self.spectrum.voxel_size
        power = self.spectrum(k2, size)
        filtered: torch.Tensor = torch.fft.ifftn(torch.fft.fftn(wide) * (power / (power + level**2))).real
        nz, ny, nx = noisy.shape
        return filtered[:nz, :ny, :nx]


def unconditional(block: Draw) -> Condition:
    """Return the condition of a block of tissue that fills its grid: no series, all inside."""
    truth, c = block.truth.float(), block.condition
    return Condition(torch.zeros_like(truth), torch.ones_like(truth), c.coverage.float(), c.numbers)
