"""The denoiser: the U-Net in the preconditioning of EDM, around the linear estimate."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from tomoprior.methods.diffusion.preconditioning import SIGMA_DATA, Preconditioner
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.methods.learning.unet import Shape, UNet

#: Volumes that the U-Net sees: the noisy residual, what it is a residual from, the section, depth in the slab, coverage.
CHANNELS = 5

#: Numbers of a condition that describe the series, and those that describe the specimen.
SERIES, SPECIMEN = 4, 3

#: Numbers that the U-Net sees: noise level, whether there are conditions, and a condition's numbers.
FEATURES = 2 + SERIES + SPECIMEN

#: Noise level that stands for endless noise: the network is shown no noisy volume, and gives the mean given the conditions
#: alone.
BLIND = 1000.0


@dataclass(frozen=True)
class Condition:
    """What the denoiser is told of the series; of a batch of series all but ``coverage`` have a leading axis.

    Attributes
    ----------
    linear
        Linear estimate of ``u``, ``(nz, ny, nx)``.
    inside
        Probability that a voxel lies inside the section, ``(nz, ny, nx)``.
    coverage
        Share of the tilts that see a voxel, ``(nz, nx)``.
    numbers
        Of the series: sines of the lowest and the highest tilt, log of the number of tilts / 4, log of the noise's standard
        deviation / 4. Of the specimen: the value of vacuum, log of the voxel size over the spectrum's, log of the faces'
        standard deviation in voxels / 2. Shape ``(7,)``.
    """

    linear: torch.Tensor
    inside: torch.Tensor
    coverage: torch.Tensor
    numbers: torch.Tensor

    def tile(self, box: tuple[slice, slice, slice]) -> Condition:
        """Part of it."""
        return replace(self, linear=self.linear[box], inside=self.inside[box], coverage=self.coverage[box[0], box[2]])


class Denoiser(nn.Module):
    """``D(x; sigma, condition)``: the mean of the clean volume given a noisy one.

    With m the linear estimate, or without conditions what is expected before any tilt is seen (zero inside the section, vacuum
    outside), and ``r = x - m``, ``D = m + K r + c_out F(c_in r, ...)``: the preconditioning of Karras et al. 2022 (EDM) for r
    in place of the image, with a filter K by the tissue's spectrum in place of ``c_skip`` (``Preconditioner``). From a noise
    level of ``BLIND`` on the noisy volume is not looked at.
    """

    def __init__(self, shape: Shape, spectrum: Spectrum) -> None:
        super().__init__()
        self.unet = UNet(CHANNELS, FEATURES, shape)
        self.linear = Preconditioner(spectrum, flat=shape.flat)

    def forward(
        self,
        noisy: torch.Tensor,
        sigma: torch.Tensor,
        linear: torch.Tensor,
        inside: torch.Tensor,
        depth: torch.Tensor,
        coverage: torch.Tensor,
        numbers: torch.Tensor,
        told: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Denoise a batch of tiles.

        Parameters
        ----------
        noisy, linear, inside
            ``(batch, z, y, x)``.
        sigma
            Noise level, ``(batch,)``.
        depth
            -1 at the lower to 1 at the upper face of the user's grid, beyond that outside, ``(batch, z)``.
        coverage
            ``(batch, z, x)``.
        numbers
            ``(batch, 7)``.
        told
            1 where the series counts, 0 for the unconditional prior, ``(batch,)``.

        Returns
        -------
        The clean tiles, and the root mean square error that the linear part alone is expected to have, ``(batch,)``.
        """
        grid = (depth.abs() < 1)[:, :, None, None]
        expected = numbers[:, SERIES, None, None, None] * (1 - inside)
        base = torch.where(told[:, None, None, None] > 0, linear, expected) * grid
        seen = sigma < BLIND
        residual = torch.where(seen[:, None, None, None], noisy - base, 0.0)
        filtered, size = self.linear(residual, sigma, told, numbers[:, SERIES + 1])
        total = sigma[:, None, None, None] ** 2 + SIGMA_DATA**2
        like = torch.ones_like(noisy)
        inputs = torch.stack(
            [
                residual * total.rsqrt(),
                base * 2,
                inside * 2 - 1,
                like * depth[..., None, None],
                like * (coverage * told[:, None, None])[:, :, None, :],
            ],
            dim=1,
        )
        series, specimen = numbers[:, :SERIES], numbers[:, SERIES:]
        features = torch.cat(
            [sigma.clamp(max=BLIND).log()[:, None] / 4, told[:, None], series * told[:, None], specimen], dim=1
        )
        out = self.unet(inputs, features)[:, 0].float()
        clean = base + filtered + size[:, None, None, None] * out
        return clean, size


def depths(nz: int, height: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Of a tile of ``height`` voxels around a grid of ``nz``: -1 to 1 across the grid, and so on outside."""
    return (torch.arange(height, device=device, dtype=torch.float32) - (height - nz) // 2 + 0.5) * (2 / nz) - 1


def in_tile(x: torch.Tensor, height: int) -> torch.Tensor:
    """A grid's values in the middle of ``height`` voxels along z at least, zeros outside: the voxels of ``depths``."""
    nz = x.shape[0]
    if nz >= height:
        return x
    out = x.new_zeros((height, *x.shape[1:]))
    first = (height - nz) // 2
    out[first : first + nz] = x
    return out
