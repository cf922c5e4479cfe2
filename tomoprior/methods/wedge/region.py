"""What of Fourier space the tilts measured, as a filter of volumes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.metrics.fourier import measured_region

#: Rows y that are filtered at a time: they do not depend on each other, and spectra take twice the memory of volumes.
ROWS = 16


class Region:
    """The directions between the first and the last tilt, for grids of any size.

    All rows of a volume have the same region, since the tilt axis is y: filtering is done in ``(kz, kx)``, row by row.

    Parameters
    ----------
    angles
        Of the tilts that count, in radians, shape ``(n_angles,)``, in any order.
    """

    def __init__(self, angles: NDArray[np.float64], device: torch.device | str = "cpu") -> None:
        self.angles, self.device = angles, torch.device(device)
        self._masks: dict[tuple[int, int], torch.Tensor] = {}

    def mask(self, nz: int, nx: int) -> torch.Tensor:
        """1 where ``rfftn`` over (z, x) holds what was measured, shape ``(nz, 1, nx // 2 + 1)``, float32."""
        if (nz, nx) not in self._masks:
            found = measured_region((nz, 1, nx), self.angles, mode="wedge")
            if nx % 2 == 0:  # at the Nyquist frequency k and -k share a place: what either measured counts
                found[..., -1] |= np.roll(found[::-1, :, -1], 1, 0)
            self._masks[nz, nx] = torch.from_numpy(found).to(self.device, torch.float32)
        return self._masks[nz, nx]

    def measured(self, x: torch.Tensor) -> torch.Tensor:
        """``(..., z, y, x)`` without what was not measured."""
        nz, _, nx = x.shape[-3:]
        return self.back(self.spectrum(x) * self.mask(nz, nx), nz, nx)

    @staticmethod
    def spectrum(x: torch.Tensor, size: tuple[int, int] | None = None) -> torch.Tensor:
        """Transform along z and x; ``size`` is that of the grid with zeros behind the volume."""
        out: torch.Tensor = torch.fft.rfftn(x, s=size, dim=(-3, -1))
        return out

    @staticmethod
    def back(spectrum: torch.Tensor, nz: int, nx: int) -> torch.Tensor:
        """Inverse of ``spectrum``."""
        out: torch.Tensor = torch.fft.irfftn(spectrum, s=(nz, nx), dim=(-3, -1))
        return out

    def split_(self, x: torch.Tensor, *, keep: str) -> torch.Tensor:
        """Keep what was ``measured`` or what is ``missing`` of a volume ``(nz, ny, nx)``, in place, with little memory."""
        nz, ny, nx = x.shape
        mask = self.mask(nz, nx) if keep == "measured" else 1 - self.mask(nz, nx)
        for first in range(0, ny, ROWS):
            rows = x[:, first : first + ROWS]
            rows.copy_(self.back(self.spectrum(rows).mul_(mask), nz, nx))
        return x

    def missing_share(self, x: torch.Tensor) -> float:
        """Share of the power of ``(nz, ny, nx)``, the mean left out, that lies where nothing was measured."""
        nz, ny, nx = x.shape
        mean = x.double().mean().to(x)
        mask = 1 - self.mask(nz, nx)
        total = missing = 0.0
        for first in range(0, ny, ROWS):
            rows = x[:, first : first + ROWS] - mean
            total += float(rows.double().square().sum())
            missing += float(self.back(self.spectrum(rows).mul_(mask), nz, nx).double().square().sum())
        return missing / total if total > 0 else 0.0
