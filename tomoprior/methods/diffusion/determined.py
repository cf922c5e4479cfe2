"""Which frequencies the tilts determine, and which are left to the prior."""

from __future__ import annotations

import math

import torch

from tomoprior.methods.diffusion.measurement import Measurement
from tomoprior.methods.diffusion.spectrum import Spectrum

#: Slices of random volumes that the data's say is measured with, and how many there are of them in all.
ROWS, SLICES = 32, 512


def information(data: Measurement) -> torch.Tensor:
    """How much ``A^T W A`` knows of each frequency in x and z: its diagonal in Fourier space, ``(nz, nx)`` of the given grid.

    Measured with white noise: ``Re(z* FFT(A^T W A z)) / |z|^2``, averaged over slices of random volumes and over no
    frequencies: next to a tilt's plane lies what no tilt measured. Frequencies as ``torch.fft.fftfreq`` orders them; inverse variance per
    voxel.
    """
    A = data.A
    nz, ny, _ = A.domain_shape
    rows = min(ny, ROWS)
    first = (ny - rows) // 2
    thin = A.with_geometry(A.geometry.rows(first, first + rows))
    w = data.w[:, first : first + rows] * data.trust[:, None, None]
    inside = data.crop(torch.zeros(A.domain_shape, device=data.y.device)).shape[2]
    total = torch.zeros(nz, inside, device=data.y.device)
    power = torch.zeros_like(total)
    for seed in range(math.ceil(SLICES / rows)):
        z = torch.randn((nz, rows, inside), generator=torch.Generator().manual_seed(seed)).to(data.y.device)
        wide = torch.nn.functional.pad(z, (data.pad, data.pad))
        seen = thin(wide)
        out = data.crop(thin.T(seen.mul_(w)))
        a, b = torch.fft.fftn(z, dim=(0, 2)), torch.fft.fftn(out, dim=(0, 2))
        total += (a.conj() * b).real.sum(1)
        power += a.abs().square().sum(1)
    return (total / power).clamp_min(0.0)


def share(data: Measurement, spectrum: Spectrum, rows: int) -> torch.Tensor:
    """Share of each frequency's variance that the data take away from the prior's, ``(nz, rows, nx)``, zero frequency first.

    ``S H / (1 + S H)`` for spectrum S and information H: 1 is measured, 0 is the prior's alone. Exact where tissue, noise and
    geometry are stationary (a Gaussian field, an endless slab); a figure to go by otherwise.
    """
    h = information(data)
    nz, nx = h.shape
    z, y, x = (torch.fft.fftfreq(n, device=h.device) for n in (nz, rows, nx))
    k2 = z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2
    gain = spectrum(k2, data.A.geometry.voxel_size) * h[:, None, :]
    return gain / (1 + gain)


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
