"""The error network: the variance of the error of the denoiser's mean, voxel by voxel."""

from __future__ import annotations

import math

import torch
from torch import nn

from tomoprior.methods.diffusion.denoiser import N_SERIES_NUMBERS, N_SPECIMEN_NUMBERS
from tomoprior.methods.learning.unet import Shape, UNet

#: Input channels of the U-Net: the mean, the linear estimate, their difference, the section, depth in the slab, coverage.
ERROR_CHANNELS = 6

#: Count of the U-Net's scalar inputs: the condition's numbers.
ERROR_FEATURES = N_SERIES_NUMBERS + N_SPECIMEN_NUMBERS

#: Logarithm of the variance that the untrained network returns, and its bounds, in the prior's units squared.
LOG_VARIANCE, LOG_VARIANCE_BOUNDS = math.log(0.1), (-10.0, 3.0)


class ErrorNetwork(nn.Module):
    """``E[(u - m)^2]`` for the denoiser's mean m given a condition.

    The network minimises the negative log likelihood of a normal distribution with the mean m (Nix and Weigend, ICNN 1994).
    Its variance therefore has all parts of the error: what the tilts leave open, and what the denoiser has not learned.

    Parameters
    ----------
    shape
        Size and kernels of its U-Net.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.unet = UNet(ERROR_CHANNELS, ERROR_FEATURES, shape)

    def forward(
        self,
        mean: torch.Tensor,
        linear: torch.Tensor,
        inside: torch.Tensor,
        depth: torch.Tensor,
        coverage: torch.Tensor,
        numbers: torch.Tensor,
    ) -> torch.Tensor:
        """Return the logarithm of the variance of a batch of tiles, ``(batch, z, y, x)``; arguments as for ``Denoiser``."""
        ones = torch.ones_like(mean)
        inputs = torch.stack(
            [
                mean * 2, linear * 2, (mean - linear) * 3, inside * 2 - 1,
                ones * depth[..., None, None], ones * coverage[:, :, None, :],
            ],
            dim=1,
        )  # fmt: skip
        out: torch.Tensor = self.unet(inputs, numbers)[:, 0].float() + LOG_VARIANCE
        return out.clamp(*LOG_VARIANCE_BOUNDS)
