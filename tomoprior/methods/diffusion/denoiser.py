"""The denoiser: a U-Net with the preconditioning of EDM, around the linear estimate."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from tomoprior.methods.diffusion.preconditioning import SIGMA_DATA, Preconditioner
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.methods.learning.unet import Shape, UNet

#: Input channels of the U-Net: the noisy residual, the volume it is a residual from, the section, depth in the slab, coverage.
CHANNELS = 5

#: Counts of the numbers in a condition that describe the series and the specimen.
N_SERIES_NUMBERS, N_SPECIMEN_NUMBERS = 4, 3

#: Count of the U-Net's scalar inputs: noise level, whether it is conditioned, and a condition's numbers.
FEATURES = 2 + N_SERIES_NUMBERS + N_SPECIMEN_NUMBERS

#: Noise level that stands for infinite noise: the network gets no noisy volume and returns the mean given the condition alone.
BLIND_SIGMA = 1000.0


@dataclass(frozen=True)
class Condition:
    """The denoiser's knowledge of a series; for a batch of series all but ``coverage`` have a leading axis.

    Attributes
    ----------
    linear
        Linear estimate of ``u``, ``(nz, ny, nx)``.
    inside
        Probability that a voxel lies inside the section, ``(nz, ny, nx)``.
    coverage
        Share of the tilts that see a voxel, ``(nz, nx)``.
    numbers
        Shape ``(7,)``. Four describe the series: sines of the lowest and the highest tilt, log of the number of tilts / 4, log
        of the noise's standard deviation / 4. Three describe the specimen: the value of vacuum, log of the voxel size over the
        spectrum's, log of the faces' standard deviation in voxels / 2.
    """

    linear: torch.Tensor
    inside: torch.Tensor
    coverage: torch.Tensor
    numbers: torch.Tensor

    def tile(self, box: tuple[slice, slice, slice]) -> Condition:
        """Return the part in ``box``."""
        return replace(self, linear=self.linear[box], inside=self.inside[box], coverage=self.coverage[box[0], box[2]])


class Denoiser(nn.Module):
    """``D(x; sigma, condition)``: the mean of the clean volume given a noisy one.

    ``D = m + K r + c_out F(c_in r, ...)`` with ``r = x - m``. Here m is the linear estimate or, for the unconditional prior,
    the prior mean (zero inside the section, vacuum outside). This is the preconditioning of Karras et al. 2022 (EDM) for r
    in place of the image, with a filter K by the tissue's spectrum in place of ``c_skip`` (``Preconditioner``). At noise
    levels of ``BLIND_SIGMA`` and above the noisy volume is not used.
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
        conditioned: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Denoise a batch of tiles.

        Parameters
        ----------
        noisy, linear, inside
            ``(batch, z, y, x)``.
        sigma
            Noise level, ``(batch,)``.
        depth
            -1 at the lower face of the user's grid, 1 at the upper face, beyond that outside the grid; ``(batch, z)``.
        coverage
            ``(batch, z, x)``.
        numbers
            ``(batch, 7)``.
        conditioned
            1 to use the series, 0 for the unconditional prior, ``(batch,)``.

        Returns
        -------
        The clean tiles, and the expected root mean square error of the linear part alone, ``(batch,)``.
        """
        grid = (depth.abs() < 1)[:, :, None, None]
        expected = numbers[:, N_SERIES_NUMBERS, None, None, None] * (1 - inside)
        base = torch.where(conditioned[:, None, None, None] > 0, linear, expected) * grid
        noisy_used = sigma < BLIND_SIGMA
        residual = torch.where(noisy_used[:, None, None, None], noisy - base, 0.0)
        filtered, error = self.linear(residual, sigma, conditioned, numbers[:, N_SERIES_NUMBERS + 1])
        total = sigma[:, None, None, None] ** 2 + SIGMA_DATA**2
        ones = torch.ones_like(noisy)
        inputs = torch.stack(
            [
                residual * total.rsqrt(),
                base * 2,
                inside * 2 - 1,
                ones * depth[..., None, None],
                ones * (coverage * conditioned[:, None, None])[:, :, None, :],
            ],
            dim=1,
        )
        series, specimen = numbers[:, :N_SERIES_NUMBERS], numbers[:, N_SERIES_NUMBERS:]
        features = torch.cat(
            [sigma.clamp(max=BLIND_SIGMA).log()[:, None] / 4, conditioned[:, None], series * conditioned[:, None], specimen],
            dim=1,
        )
        out = self.unet(inputs, features)[:, 0].float()
        clean = base + filtered + error[:, None, None, None] * out
        return clean, error


def compute_depths(nz: int, height: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Return the depth of each plane of a tile: -1 to 1 across a grid of ``nz`` voxels in its middle, and beyond outside."""
    return (torch.arange(height, device=device, dtype=torch.float32) - (height - nz) // 2 + 0.5) * (2 / nz) - 1


def pad_to_height(x: torch.Tensor, height: int) -> torch.Tensor:
    """Pad a grid with zeros along z to at least ``height`` planes; the grid lies in the middle, as in ``compute_depths``."""
    nz = x.shape[0]
    if nz >= height:
        return x
    out = x.new_zeros((height, *x.shape[1:]))
    crop_from_height(out, nz)[:] = x
    return out


def crop_from_height(x: torch.Tensor, nz: int) -> torch.Tensor:
    """Return the middle ``nz`` planes: the inverse of ``pad_to_height``."""
    first = (x.shape[0] - nz) // 2
    return x[first : first + nz]
