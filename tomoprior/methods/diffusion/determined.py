"""Which frequencies the tilts determine, and which are left to the prior."""

from __future__ import annotations

import torch

from tomoprior.methods.diffusion.measurement import Measurement
from tomoprior.methods.diffusion.spectrum import Spectrum


def share(data: Measurement, spectrum: Spectrum, rows: int) -> torch.Tensor:
    """Share of each frequency's variance that the data take away from the prior's, ``(nz, rows, nx)``, zero frequency first.

    1 is measured, 0 is the prior's alone: ``1 - posterior / prior`` variance of a Gaussian field of this spectrum in an endless
    slab of the grid's height, where frequencies along x and y stand alone and only those along the beam mix. A tilt at angle
    t sees ``sqrt(nz / cos t) sinc(nz (kz + kx tan t))`` of frequency (kz, kx); each tilt has the mean weight of its rays.
    """
    geometry, device = data.A.geometry, data.y.device
    nz = geometry.shape[0]
    nx = geometry.shape[2] - 2 * data.pad
    z, y, x = (torch.fft.fftfreq(n, device=device, dtype=torch.float64) for n in (nz, rows, nx))
    x, y = x[: nx // 2 + 1].abs(), y[: rows // 2 + 1].abs()
    theta = torch.from_numpy(geometry.angles.copy()).to(device)
    used = (data.w > 0).sum((1, 2)).clamp_min(1)
    weight = (data.w.sum((1, 2)) / used * data.trust).double()
    # (kx, tilt, kz), scaled to noise of variance 1
    seen = torch.sinc(nz * (z + x[:, None, None] * theta.tan()[:, None]))
    seen = seen * (nz / theta.cos().abs().clamp_min(1e-3) * weight).sqrt()[:, None]
    found = torch.empty(len(y), len(x), nz, dtype=torch.float64, device=device)
    for i, ky in enumerate(y):  # one by one: a matrix of tilts by tilts for all (ky, kx) would be the largest array of a run
        prior = spectrum(z**2 + ky**2 + x[:, None] ** 2, geometry.voxel_size)  # (kx, kz)
        spread = seen * prior[:, None, :]
        gram = spread @ seen.transpose(1, 2) + torch.eye(len(theta), dtype=torch.float64, device=device)
        found[i] = (torch.linalg.solve(gram, spread) * spread).sum(1) / prior
    half = found.clamp(0.0, 1.0).float().permute(2, 0, 1)  # (kz, ky, kx)
    if nx % 2 == 0:  # the highest frequency along x stands for both of its signs
        half[:, :, -1] = (half[:, :, -1] + half[:, :, -1].flip(0).roll(1, 0)) / 2
    # a frequency and its opposite are the same, and nothing tells ky from -ky
    half = torch.cat([half, half[:, 1 : (rows + 1) // 2].flip(1)], dim=1)
    mirrored = half[:, :, 1 : (nx + 1) // 2].flip(2).flip(0).roll(1, 0)
    return torch.cat([half, mirrored], dim=2)


def summary(shares: torch.Tensor, spectrum: Spectrum, voxel_size: float) -> dict[str, float]:
    """The shares in three numbers.

    ``power`` is the share of the tissue's variance that is determined, ``finest_x`` and ``finest_z`` the finest determined
    detail in voxels. Detail counts as determined along an axis where the share on it is above one half from there to coarser
    ones; 0 where none is.
    """
    nz, ny, nx = shares.shape
    z, y, x = (torch.fft.fftfreq(n, device=shares.device) for n in (nz, ny, nx))
    k2 = z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2
    power = spectrum(k2, voxel_size)
    power[0, 0, 0] = 0  # the mean is known or not; it is no structure

    def finest(line: torch.Tensor, frequencies: torch.Tensor) -> float:
        best = 0.0
        half = slice(1, len(line) // 2 + 1)
        for k, value in zip(frequencies[half].abs().tolist(), line[half].tolist(), strict=True):
            if value <= 0.5:
                break
            best = 1 / k
        return best

    return {
        "power": float((shares * power).sum() / power.sum()),
        "finest_x": finest(shares[0, 0], x),
        "finest_z": finest(shares[:, 0, 0], z),
    }
