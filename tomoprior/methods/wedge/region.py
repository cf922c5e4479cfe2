"""The region of Fourier space that the tilts measured, as a filter of volumes."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.metrics.regions import measured_region

#: Rows y that are filtered at a time: they do not depend on each other, and spectra take twice the memory of volumes.
ROWS = 16


class Region:
    """The directions between the first and the last tilt, for grids of any size.

    The tilt axis is y, so that all rows of a volume have the same region: filtering is done in ``(kz, kx)``, row by row.

    Parameters
    ----------
    angles
        Tilts that have weight, in radians, shape ``(n_angles,)``, in any order.
    """

    def __init__(self, angles: NDArray[np.float64], device: torch.device | str = "cpu") -> None:
        self.angles, self.device = angles, torch.device(device)
        self._masks: dict[tuple[int, int], torch.Tensor] = {}

    @property
    def span(self) -> tuple[float, float]:
        """Smallest and largest tilt in radians."""
        return float(self.angles.min()), float(self.angles.max())

    def mask(self, nz: int, nx: int) -> torch.Tensor:
        """Return 1 where ``rfftn`` over (z, x) is measured, else 0; shape ``(nz, 1, nx // 2 + 1)``, float32."""
        if (nz, nx) not in self._masks:
            region = measured_region((nz, 1, nx), self.angles, mode="wedge")
            if nx % 2 == 0:  # at the Nyquist frequency k and -k share a place: it counts if either is measured
                region[..., -1] |= np.roll(region[::-1, :, -1], 1, 0)
            self._masks[nz, nx] = torch.from_numpy(region).to(self.device, torch.float32)
        return self._masks[nz, nx]

    def measured(self, x: torch.Tensor) -> torch.Tensor:
        """Return the measured part of ``(..., z, y, x)``."""
        nz, _, nx = x.shape[-3:]
        return self.inverse(self.spectrum(x) * self.mask(nz, nx), nz, nx)

    @staticmethod
    def spectrum(x: torch.Tensor, size: tuple[int, int] | None = None) -> torch.Tensor:
        """Return the transform along z and x; with ``size``, of the volume with zeros behind it up to that size."""
        out: torch.Tensor = torch.fft.rfftn(x, s=size, dim=(-3, -1))
        return out

    @staticmethod
    def inverse(spectrum: torch.Tensor, nz: int, nx: int) -> torch.Tensor:
        """Invert ``spectrum``."""
        out: torch.Tensor = torch.fft.irfftn(spectrum, s=(nz, nx), dim=(-3, -1))
        return out

    def keep_(self, x: torch.Tensor, part: Literal["measured", "missing"]) -> torch.Tensor:
        """Keep one part of a volume ``(nz, ny, nx)``, in place and with little memory; return the volume."""
        nz, ny, nx = x.shape
        mask = self.mask(nz, nx) if part == "measured" else 1 - self.mask(nz, nx)
        for first in range(0, ny, ROWS):
            rows = x[:, first : first + ROWS]
            rows.copy_(self.inverse(self.spectrum(rows).mul_(mask), nz, nx))
        return x

    def missing_share(self, x: torch.Tensor) -> float:
        """Return the share of the power of ``(nz, ny, nx)``, without its mean, at the unmeasured frequencies."""
        nz, ny, nx = x.shape
        mean = x.double().mean().to(x)
        mask = 1 - self.mask(nz, nx)
        total = missing = 0.0
        for first in range(0, ny, ROWS):
            rows = x[:, first : first + ROWS] - mean
            total += float(rows.double().square().sum())
            missing += float(self.inverse(self.spectrum(rows).mul_(mask), nz, nx).double().square().sum())
        return missing / total if total > 0 else 0.0
