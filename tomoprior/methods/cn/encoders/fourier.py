"""An encoder of fixed random waves."""

from __future__ import annotations

import math

import torch

from tomoprior.methods.cn.encoders.base import Coordinates, Encoder


class Fourier(Encoder):
    """``[cos 2 pi B r, sin 2 pi B r]`` with normally distributed frequencies B: Tancik et al., NeurIPS 2020, eq. 5.

    Parameters
    ----------
    frequencies
        Number of frequencies; each gives two features.
    bandwidth
        Standard deviation of their components in cycles per voxel, for any scale of the coordinates.
    """

    waves: torch.Tensor

    def __init__(self, coordinates: Coordinates, frequencies: int, bandwidth: float, generator: torch.Generator) -> None:
        super().__init__()
        self.out_features = 2 * frequencies
        waves = torch.empty(frequencies, 3)
        if not waves.is_meta:
            waves.normal_(generator=generator)
            # an axis of one voxel has no frequencies, and with per-axis coordinates they would be infinite
            seen = torch.tensor([float(n > 1) for n in coordinates.extent])
            waves = waves * (2 * math.pi * bandwidth) * seen / torch.tensor(coordinates.step)
        self.register_buffer("waves", waves)  # not trained, but part of what is saved

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """See ``Encoder.forward``."""
        argument = points @ self.waves.T
        return torch.cat([torch.cos(argument), torch.sin(argument)], 1)
