"""Series of tissue set aside, to judge a denoiser by: of fixed tilts, and small so that it is quick."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from tomoprior import metrics
from tomoprior.errors import InputError
from tomoprior.methods.diffusion.denoiser import Condition
from tomoprior.methods.diffusion.ray_geometry import compute_padding
from tomoprior.simulate.microscope import MicroscopeSettings
from tomoprior.training.draws import ATTEMPTS, Simulator


@dataclass(frozen=True, eq=False)
class Trial:
    """A series: what the denoiser is told of it, the truth in the prior's units, and the columns of the field of view."""

    truth: torch.Tensor
    told: Condition
    columns: slice
    gain: float

    @classmethod
    def simulate(cls, simulator: Simulator, span: float, step: float, seed: int) -> Trial:
        """``span`` degrees around zero in steps of ``step``, in voxels of the middle size, without spoilt tilts.

        The section takes 0.75 to 1.0 of the grid, its faces known as tilts may tell them.

        Raises
        ------
        InputError
            If place after place shows no tissue.
        """
        settings = simulator.settings
        tilts = np.asarray(np.deg2rad(np.arange(-span / 2, span / 2 + 1e-6, step)))
        reason = "its tilts show hardly any contrast"
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng([seed, attempt])
            try:
                group = simulator.record(
                    tilts, settings.typical_voxel(*simulator.tissues), settings.height, 1, rng,
                    MicroscopeSettings.parse({"outliers": 0.0}), (0.75, 0.99), (settings.tile, settings.tile * 2),
                )  # fmt: skip
            except ValueError as error:  # nothing to see at this place
                reason = str(error)
                continue
            found = simulator.observe(group, [simulator.faces(group, s, rng) for s in group.specimens])
            if found:
                break
        else:
            raise InputError(f"{ATTEMPTS} places in a row show no tissue; the last: {reason}")
        told = found[0].condition
        told = replace(told, linear=told.linear.float(), inside=told.inside.float(), coverage=told.coverage.float())
        pad = compute_padding(group.geometry)
        nx = told.linear.shape[2]
        # the gain that truth and densities differ by
        density, truth = group.specimens[0].truth, found[0].truth.float()
        gain = float(density.std() / truth.std())
        return cls(truth, told, slice(pad, nx - pad), gain)

    def psnr(self, u: torch.Tensor) -> float:
        """Of a volume in the prior's units, in dB, for densities that range over 1."""
        found, truth = ((v[..., self.columns] * self.gain).cpu() for v in (u, self.truth))
        return float(metrics.psnr(found, truth, data_range=1.0))

    def inner_psnr(self, u: torch.Tensor) -> float:
        """The same of what is well inside the section, every plane's mean error taken off."""
        error = ((u - self.truth) * self.gain)[..., self.columns]
        inside = (self.told.inside[..., self.columns] > 0.9).float()
        count = inside.sum((1, 2), keepdim=True)
        error = (error - (error * inside).sum((1, 2), keepdim=True) / count.clamp_min(1)) * inside
        return float(-10 * torch.log10(error.square().sum() / inside.sum().clamp_min(1)))
