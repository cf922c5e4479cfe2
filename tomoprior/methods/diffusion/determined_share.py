"""The share of each frequency that the tilts determine; the rest is left to the prior."""

from __future__ import annotations

import torch

from tomoprior.methods.diffusion.measurement_model import MeasurementModel
from tomoprior.methods.diffusion.spectrum import Spectrum


def compute_determined_share(data: MeasurementModel, spectrum: Spectrum, rows: int) -> torch.Tensor:
    """Return the share of each frequency's prior variance that the data remove, ``(nz, rows, nx)``, zero frequency first.

    1 is measured, 0 is left to the prior. The share is ``1 - posterior / prior`` variance of a Gaussian field of this spectrum
    in an endless slab of the grid's height, where frequencies along x and y are independent and only those along the beam mix.
    A tilt at angle t sees ``sqrt(nz / cos t) sinc(nz (kz + kx tan t))`` of frequency (kz, kx); each tilt has the mean weight
    of its rays.
    """
    geometry, device = data.A.geometry, data.y.device
    nz = geometry.shape[0]
    nx = geometry.shape[2] - 2 * data.pad
    z, y, x = (torch.fft.fftfreq(n, device=device, dtype=torch.float64) for n in (nz, rows, nx))
    x, y = x[: nx // 2 + 1].abs(), y[: rows // 2 + 1].abs()
    theta = torch.from_numpy(geometry.angles.copy()).to(device)
    used = (data.w > 0).sum((1, 2)).clamp_min(1)
    weight = (data.w.sum((1, 2)) / used * data.tilt_weights).double()
    # (kx, tilt, kz), scaled to noise of variance 1
    seen = torch.sinc(nz * (z + x[:, None, None] * theta.tan()[:, None]))
    seen = seen * (nz / theta.cos().abs().clamp_min(1e-3) * weight).sqrt()[:, None]
    share = torch.empty(len(y), len(x), nz, dtype=torch.float64, device=device)
    for i, ky in enumerate(y):  # one ky at a time: tilts x tilts matrices for all (ky, kx) would be the largest array of a run
        prior = spectrum(z**2 + ky**2 + x[:, None] ** 2, geometry.voxel_size)  # (kx, kz)
        covariance = seen * prior[:, None, :]
        gram = covariance @ seen.transpose(1, 2) + torch.eye(len(theta), dtype=torch.float64, device=device)
        share[i] = (torch.linalg.solve(gram, covariance) * covariance).sum(1) / prior
    half = share.clamp(0.0, 1.0).float().permute(2, 0, 1)  # (kz, ky, kx)
    if nx % 2 == 0:  # the highest frequency along x represents both of its signs
        half[:, :, -1] = (half[:, :, -1] + half[:, :, -1].flip(0).roll(1, 0)) / 2
    # opposite frequencies have the same share, and so have ky and -ky
    half = torch.cat([half, half[:, 1 : (rows + 1) // 2].flip(1)], dim=1)
    mirrored = half[:, :, 1 : (nx + 1) // 2].flip(2).flip(0).roll(1, 0)
    return torch.cat([half, mirrored], dim=2)


def summarise_determined_share(shares: torch.Tensor, spectrum: Spectrum, voxel_size: float) -> dict[str, float]:
    """Return the shares in three numbers.

    ``power`` is the share of the tissue's variance that is determined. ``finest_x`` and ``finest_z`` are the sizes of the
    finest determined detail along x and z, in voxels: the share on the axis exceeds one half at this frequency and at all lower
    ones. They are 0 where no detail is determined.
    """
    nz, ny, nx = shares.shape
    z, y, x = (torch.fft.fftfreq(n, device=shares.device) for n in (nz, ny, nx))
    k2 = z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2
    power = spectrum(k2, voxel_size)
    power[0, 0, 0] = 0  # the mean is no structure

    def find_finest(line: torch.Tensor, frequencies: torch.Tensor) -> float:
        finest = 0.0
        half = slice(1, len(line) // 2 + 1)
        for k, share in zip(frequencies[half].abs().tolist(), line[half].tolist(), strict=True):
            if share <= 0.5:
                break
            finest = 1 / k
        return finest

    return {
        "power": float((shares * power).sum() / power.sum()),
        "finest_x": find_finest(shares[0, 0], x),
        "finest_z": find_finest(shares[:, 0, 0], z),
    }
