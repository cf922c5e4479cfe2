"""The linear part of the denoiser: a filter by the tissue's spectrum, and the error that remains after it."""

from __future__ import annotations

import torch
from torch import nn

from tomoprior.methods.diffusion.spectrum import N_Y_FREQUENCIES, Spectrum, interpolate_table

#: Standard deviation of the residual from the linear estimate, in the prior's units: sigma_data of EDM.
SIGMA_DATA = 0.4

#: Number of frequencies along each axis for the computation of the spectrum's cap.
N_CAP_FREQUENCIES = 48


class Preconditioner(nn.Module):
    """``c_skip`` and ``c_out`` of Karras et al. 2022 (EDM), table 1, for tissue of a known spectrum S instead of a white one.

    For the unconditional prior the best linear denoiser is the filter ``K = S / (S + sigma^2)``, and its mean squared error is
    ``sigma^2 mean(K)``: they replace ``c_skip`` and ``c_out^2``. With a condition, the linear estimate already contains the
    coarse structure, so that S is capped at a power that makes the residual's variance ``SIGMA_DATA``^2. An untrained
    network is therefore the linear denoiser.

    Parameters
    ----------
    spectrum
        The tissue's spectrum, in the prior's units.
    flat
        Filter each slice on its own, with the spectrum of a slice of the field.
    """

    log_k: torch.Tensor
    log_power: torch.Tensor

    def __init__(self, spectrum: Spectrum, *, flat: bool = False) -> None:
        super().__init__()
        self.flat = flat
        # the header holds the spectrum, so that a state or a file of weights need not
        self.register_buffer("log_k", torch.tensor(spectrum.k).log(), persistent=False)
        self.register_buffer("log_power", torch.tensor(spectrum.power).log(), persistent=False)
        power = self._power((N_CAP_FREQUENCIES,) * 3, torch.zeros(1), torch.device("cpu"))
        low, high = 0.0, float(power.max())
        for _ in range(60):  # the mean of min(S, cap) grows with the cap
            self.cap = (low + high) / 2
            low, high = (self.cap, high) if float(power.clamp(max=self.cap).mean()) < SIGMA_DATA**2 else (low, self.cap)

    def forward(
        self, residual: torch.Tensor, sigma: torch.Tensor, conditioned: torch.Tensor, log_voxel: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the filtered residual and the root mean square error that remains.

        Parameters
        ----------
        residual
            ``(batch, z, y, x)``; the filter treats a tile as periodic, which matters within a few voxels of its border.
        sigma, conditioned, log_voxel
            Noise level, 1 with a condition or 0 without, log of the voxel size over the spectrum's: ``(batch,)``.

        Returns
        -------
        ``(batch, z, y, x)`` and ``(batch,)``.
        """
        shape = residual.shape[1:]
        power = self._power(tuple(shape), log_voxel, residual.device)
        power = torch.where(conditioned[:, None, None, None] > 0, power.clamp(max=self.cap), power)
        s2 = sigma[:, None, None, None] ** 2
        filtered = power / (power + s2)
        axes = (-3, -1) if self.flat else (-3, -2, -1)
        sizes = [shape[axis] for axis in axes]
        out = torch.fft.irfftn(torch.fft.rfftn(residual.float(), dim=axes) * filtered, sizes, axes)
        # the inner columns of a real transform represent two frequencies each
        weight = torch.full((filtered.shape[-1],), 2.0, device=residual.device)
        weight[0] = 1
        if shape[-1] % 2 == 0:
            weight[-1] = 1
        error = ((power * s2 / (power + s2)).mean((1, 2)) * weight).sum(-1) / weight.sum()
        return out, error.sqrt()

    def _power(self, shape: tuple[int, ...], log_voxel: torch.Tensor, device: torch.device) -> torch.Tensor:
        """Return S at the frequencies of a real transform of ``shape``, ``(batch, nz, ny or 1, nx // 2 + 1)``."""
        z, y, x = shape
        kz, kx = torch.fft.fftfreq(z, device=device)[:, None, None], torch.fft.rfftfreq(x, device=device)
        ky = torch.fft.fftfreq(N_Y_FREQUENCIES if self.flat else y, device=device)[:, None]
        k = (0.5 * (kz**2 + ky**2 + kx**2).clamp_min(1e-12).log())[None] - log_voxel[:, None, None, None]
        log_power = interpolate_table(self.log_k, self.log_power, k)
        power = (log_power - 3 * log_voxel[:, None, None, None]).exp()
        return power.mean(2, keepdim=True) if self.flat else power
