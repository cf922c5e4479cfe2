"""Series of validation tissue that measure a denoiser: with fixed tilts, and small for speed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from tomoprior import metrics
from tomoprior.errors import InputError
from tomoprior.methods.diffusion.denoiser import Condition
from tomoprior.methods.diffusion.ray_geometry import compute_padding
from tomoprior.simulate.microscope import MicroscopeSettings
from tomoprior.training.simulator import ATTEMPTS, Simulator


@dataclass(frozen=True, eq=False)
class Trial:
    """A simulated series.

    Attributes
    ----------
    truth
        In the prior's units, ``(nz, ny, nx)``.
    condition
        The denoiser's knowledge of the series.
    columns
        Columns of the field of view.
    gain
        Density per unit of the prior.
    """

    truth: torch.Tensor
    condition: Condition
    columns: slice
    gain: float

    @classmethod
    def simulate(cls, simulator: Simulator, span: float, step: float, seed: int) -> Trial:
        """Return a series over ``span`` degrees around zero in steps of ``step``, in typical voxels, without spoilt tilts.

        The section takes 0.75 to 0.99 of the grid; the knowledge of its faces is drawn as for a training.

        Raises
        ------
        InputError
            If ``ATTEMPTS`` places in a row show no tissue.
        """
        settings = simulator.settings
        tilts = np.asarray(np.deg2rad(np.arange(-span / 2, span / 2 + 1e-6, step)))
        reason = "its tilts show hardly any contrast"
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng([seed, attempt])
            try:
                group = simulator.record(
                    tilts, settings.typical_voxel(*simulator.tissues), settings.height, 1, rng,
                    MicroscopeSettings.parse({"outliers": 0.0}), (0.75, 0.99), (settings.tile_size, settings.tile_size * 2),
                )  # fmt: skip
            except ValueError as error:  # an empty block
                reason = str(error)
                continue
            draws = simulator.observe(group, [simulator.faces(group, s, rng) for s in group.specimens])
            if draws:
                break
        else:
            raise InputError(f"{ATTEMPTS} places in a row show no tissue; the last: {reason}")
        half = draws[0].condition
        condition = replace(half, linear=half.linear.float(), inside=half.inside.float(), coverage=half.coverage.float())
        pad = compute_padding(group.geometry)
        nx = condition.linear.shape[2]
        density, truth = group.specimens[0].truth, draws[0].truth.float()
        gain = float(density.std() / truth.std())
        return cls(truth, condition, slice(pad, nx - pad), gain)

    def psnr(self, u: torch.Tensor) -> float:
        """Return the PSNR in dB of a volume in the prior's units, for a data range of 1 in density."""
        volume, truth = ((v[..., self.columns] * self.gain).cpu() for v in (u, self.truth))
        return float(metrics.psnr(volume, truth, data_range=1.0))

    def inner_psnr(self, u: torch.Tensor) -> float:
        """Return the PSNR well inside the section, without the mean error of each plane."""
        error = ((u - self.truth) * self.gain)[..., self.columns]
        inside = (self.condition.inside[..., self.columns] > 0.9).float()
        count = inside.sum((1, 2), keepdim=True)
        error = (error - (error * inside).sum((1, 2), keepdim=True) / count.clamp_min(1)) * inside
        return float(-10 * torch.log10(error.square().sum() / inside.sum().clamp_min(1)))
