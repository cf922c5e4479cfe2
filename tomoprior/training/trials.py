"""Series of tissue set aside, to judge a denoiser by: of fixed tilts, and small so that it is quick."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tomoprior import metrics
from tomoprior.methods.diffusion.denoiser import Condition
from tomoprior.methods.diffusion.measurement import Measurement
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.simulate.simulation import Simulation
from tomoprior.simulate.tissue import Tissue
from tomoprior.training.draws import observe, simulated
from tomoprior.training.settings import TrainingSettings


@dataclass(frozen=True, eq=False)
class Trial:
    """A series, what the method makes of it before it samples, and the truth in the prior's units on the padded grid."""

    made: Simulation
    data: Measurement
    truth: torch.Tensor
    told: Condition

    @classmethod
    def of(cls, tissue: Tissue, spectrum: Spectrum, settings: TrainingSettings, span: float, step: float, seed: int) -> Trial:
        """Of the ``trial_series`` with these parameters."""
        made = trial_series(tissue, settings, span, step, seed)
        return cls(made, *observe(made, spectrum, flat=settings.flat))

    def psnr(self, u: torch.Tensor) -> float:
        """Of a volume in the prior's units, in dB, for densities that range over 1."""
        found, truth = (self.data.crop(v) * self.data.scale.gain for v in (u, self.truth))
        return metrics.psnr(found, truth, data_range=1.0)


def trial_series(tissue: Tissue, settings: TrainingSettings, span: float, step: float, seed: int) -> Simulation:
    """``span`` degrees around zero in steps of ``step``, in voxels of the middle size, without spoilt tilts."""
    tilts = np.asarray(np.deg2rad(np.arange(-span / 2, span / 2 + 1e-6, step)))
    small = settings.model_copy(update={"field": (settings.tile, settings.tile * 2)})
    return simulated(tissue, small, tilts, settings.typical_voxel(tissue), seed, outliers=0.0)
