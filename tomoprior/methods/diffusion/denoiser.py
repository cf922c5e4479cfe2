"""The denoiser: the U-Net in the preconditioning of EDM, around the linear estimate."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from tomoprior.methods.diffusion.network import Shape, UNet

#: Standard deviation of what is left to find once the linear estimate is taken off, in the prior's units: sigma_data of EDM.
SIGMA_DATA = 0.4

#: Volumes that the U-Net sees: the noisy residual, the linear estimate, depth in the slab, coverage.
CHANNELS = 4

#: Numbers that it sees: noise level, whether there are conditions, lowest and highest tilt, tilts, noise, vacuum, voxel size.
FEATURES = 8


@dataclass(frozen=True)
class Condition:
    """What the denoiser is told of the series.

    Attributes
    ----------
    linear
        Linear estimate of ``u``, ``(nz, ny, nx)``.
    coverage
        Share of the tilts that see a voxel, ``(nz, nx)``.
    numbers
        Sines of the lowest and the highest tilt, log of the number of tilts / 4, log of the noise's standard deviation / 4, the
        value of vacuum and log of the voxel size over the spectrum's, shape ``(6,)``.
    """

    linear: torch.Tensor
    coverage: torch.Tensor
    numbers: torch.Tensor

    def tile(self, box: tuple[slice, slice, slice]) -> Condition:
        """Part of it."""
        return replace(self, linear=self.linear[box], coverage=self.coverage[box[0], box[2]])


class Denoiser(nn.Module):
    """``D(x; sigma, condition)``: the mean of the clean volume given a noisy one.

    With the linear estimate m (zero if it is left out) and ``r = x - m``, ``D = m + c_skip r + c_out F(c_in r, ...)`` with the
    coefficients of Karras et al. 2022 (EDM), table 1, for r in place of the image. A network that has learned nothing thus
    shrinks to the linear estimate.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.unet = UNet(CHANNELS, FEATURES, shape)

    def forward(
        self,
        noisy: torch.Tensor,
        sigma: torch.Tensor,
        linear: torch.Tensor,
        depth: torch.Tensor,
        coverage: torch.Tensor,
        numbers: torch.Tensor,
        told: torch.Tensor,
    ) -> torch.Tensor:
        """Denoise a batch of tiles.

        Parameters
        ----------
        noisy, linear
            ``(batch, z, y, x)``.
        sigma
            Noise level, ``(batch,)``.
        depth
            -1 at the lower to 1 at the upper face of the user's grid, beyond that outside, ``(batch, z)``.
        coverage
            ``(batch, z, x)``.
        numbers
            ``(batch, 6)``.
        told
            1 where the conditions count, 0 for the unconditional prior, ``(batch,)``.
        """
        keep = told[:, None, None, None]
        linear = linear * keep
        residual = noisy - linear
        s = sigma[:, None, None, None]
        total = s**2 + SIGMA_DATA**2
        like = torch.ones_like(noisy)
        inputs = torch.stack(
            [
                residual * total.rsqrt(),
                linear * 2,
                like * depth[..., None, None],
                like * (coverage * told[:, None, None])[:, :, None, :],
            ],
            dim=1,
        )
        features = torch.cat([sigma.log()[:, None] / 4, told[:, None], numbers * told[:, None]], dim=1)
        out = self.unet(inputs, features)[:, 0].float()
        clean: torch.Tensor = linear + SIGMA_DATA**2 / total * residual + s * SIGMA_DATA * total.rsqrt() * out
        return clean


def loss_weight(sigma: torch.Tensor) -> torch.Tensor:
    """``1 / c_out^2`` (EDM, table 1): the network's own target has unit variance at every noise level."""
    return (sigma**2 + SIGMA_DATA**2) / (sigma * SIGMA_DATA) ** 2


def depths(nz: int, height: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Of a tile of ``height`` voxels around a grid of ``nz``: -1 to 1 across the grid, and so on outside."""
    return (torch.arange(height, device=device, dtype=torch.float32) - (height - nz) // 2 + 0.5) * (2 / nz) - 1


def in_tile(x: torch.Tensor, height: int) -> torch.Tensor:
    """A grid's values in the middle of a tile of ``height`` voxels along z, zeros outside: the voxels of ``depths``."""
    nz = x.shape[0]
    if nz == height:
        return x
    out = x.new_zeros((height, *x.shape[1:]))
    first = (height - nz) // 2
    out[first : first + nz] = x
    return out
