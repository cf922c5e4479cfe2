"""Direct Fourier inversion: projections are central lines of the slice's transform; grid them, transform back."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from pydantic import Field
from scipy import fft

from tomoprior.geometry import Geometry
from tomoprior.methods import arguments
from tomoprior.methods.base import ALLOCATOR_BYTES, Tunable
from tomoprior.progress import Progress
from tomoprior.projector import Projector, rowshift
from tomoprior.reconstruction import Reconstruction
from tomoprior.settings import Settings

#: Complex values of the padded transform worked on at once.
BLOCK = 32 * 2**20


class FourierSettings(Settings):
    """Settings of ``fourier``."""

    oversampling: float = Field(
        2.0,
        ge=1,
        le=8,
        description="Padding of slice and projections: a finer Fourier grid, less error from gridding at the rim.",
    )
    kernel_width: float = Field(
        0.5, gt=0, le=2, description="Standard deviation of the Gaussian that spreads a sample, in cells of the Fourier grid."
    )


class Fourier:
    """Every transformed projection is spread over the Fourier cells around its line, and the sums divided by the weights.

    Cells that no projection reaches stay zero: the missing wedge is left empty. The scheme is that of EMAN2's reconstructor
    (Tang et al., J. Struct. Biol. 157 (2007) 38; its 2-cell Gaussian mode); theorem: Kak and Slaney (1988), ch. 3, eq. 26.
    """

    name = "fourier"
    summary = "Fourier: direct inversion on a Fourier grid, as EMAN2's; leaves unmeasured directions empty"
    citation = "Tang et al., J. Struct. Biol. 157 (2007) 38; Kak and Slaney (1988), ch. 3, eq. 26"
    Settings = FourierSettings
    tunable: ClassVar[Tunable] = {"kernel_width": (0.35, 0.5, 0.7, 1.0)}
    couples_slices = False
    uses_projector = False

    def memory(self, geometry: Geometry, settings: Any) -> int:
        """The volume, the projections once more, and blocks of padded slices with their transforms."""
        nz, ny, nx = geometry.shape
        n, _, nu = geometry.range_shape
        size = _size(geometry, settings.oversampling)
        block = max(1, min(ny, BLOCK // size**2))
        return ALLOCATOR_BYTES + 4 * ny * (nz * nx + n * nu) + block * (18 * size * size + 24 * n * size) + 96 * n * size

    def cost_in_pairs(self, geometry: Geometry, settings: Any) -> float:
        """About four pairs."""
        return 4.0

    def reconstruct(
        self,
        projections: torch.Tensor,
        projector: Projector,
        settings: Any,
        *,
        weights: torch.Tensor | None = None,
        initial: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        progress: Progress | None = None,
    ) -> Reconstruction:
        """See ``tomoprior.methods.Method.reconstruct``; weights are per tilt, an initial volume has no meaning here."""
        arguments.check_rays(self, projector.geometry)
        geometry = projector.geometry
        arguments.check_projections(projections, projector)
        arguments.refuse_arguments(self.name, **{"initial volume": initial})
        trust = arguments.expand_weights(weights, projector)
        if trust is not None and trust.shape[1:] != (1, 1):
            arguments.refuse_arguments(self.name, **{"weights per pixel": trust})
        m = arguments.expand_mask(mask, projector)
        with torch.no_grad():
            data = rowshift.undo(projections, geometry) if geometry.couples_slices else projections
            volume = _invert(data, geometry, settings, trust)
            if m is not None:
                volume *= m
        if progress is not None:
            progress(1, 1, {})
        return Reconstruction(volume, geometry)


def _size(geometry: Geometry, oversampling: float) -> int:
    nz, _, nx = geometry.shape
    return int(fft.next_fast_len(math.ceil(oversampling * max(nz, nx, geometry.detector[1])) + 1))


def _invert(data: torch.Tensor, geometry: Geometry, settings: FourierSettings, trust: torch.Tensor | None) -> torch.Tensor:
    nz, ny, nx = geometry.shape
    nu = geometry.detector[1]
    size = _size(geometry, settings.oversampling)
    device = data.device
    k = torch.fft.fftfreq(size, device=device, dtype=torch.float64)  # cycles per voxel
    theta = torch.from_numpy(geometry.angles.copy()).to(device)
    groups = geometry.slice_groups()
    cells, spread = _gridding(k, theta, size, settings.kernel_width)
    # a cell that only the Gaussian's far tail reaches says more about its neighbours than about itself
    reached = spread if trust is None else spread * (trust > 0).reshape(-1, 1, 1)
    empty = torch.zeros(size * size, device=device)
    known = empty.index_add(0, cells.reshape(-1), reached.reshape(-1)) > 1e-3 * spread.max()
    if trust is not None:
        spread *= (trust / trust.amax()).reshape(-1, 1, 1)
    total = empty.index_add(0, cells.reshape(-1), spread.reshape(-1))
    scale = torch.where(known, 1 / total.clamp_min(1e-30), empty)
    out = torch.empty(nz, ny, nx, device=device)
    # the middle of slice and grid goes to sample 0 of the transforms by a phase
    kz, kx = k[:, None], k[None, :]
    centre = -2 * math.pi * (kx * (nx - 1) / 2 + kz * (nz - 1) / 2)
    block = max(1, BLOCK // size**2)
    for first in range(0, ny, block):
        rows = slice(first, min(ny, first + block))
        transform = torch.fft.fft(data[:, rows], n=size)  # (n, rows, size)
        count = rows.stop - rows.start
        for group in groups:
            chosen = group[(group >= rows.start) & (group < rows.stop)] - rows.start
            if len(chosen):
                offset = torch.from_numpy(geometry.offsets(int(group[0]))).to(device)  # (n,)
                phase = 2 * math.pi * k * ((nu - 1) / 2 - offset)[:, None]  # (n, size)
                if len(chosen) == count:
                    _turn_(transform, phase[:, None])
                else:
                    index = torch.from_numpy(chosen).to(device)
                    transform[:, index] = _turn_(transform[:, index], phase[:, None])
        plane = torch.zeros(size * size, count, dtype=torch.complex64, device=device)
        samples = transform.permute(0, 2, 1)
        for corner in range(cells.shape[-1]):
            part = samples * spread[..., corner, None]
            plane.index_add_(0, cells[..., corner].reshape(-1), part.reshape(-1, count))
        grid = _turn_(plane.view(size, size, count), centre[..., None], scale.view(size, size, 1))
        out[:, rows] = torch.fft.ifft2(grid, dim=(0, 1)).real[:nz, :nx].permute(0, 2, 1)
        del transform, samples, part, plane, grid  # before the next block makes its own
    return out


def _turn_(values: torch.Tensor, phase: torch.Tensor, scale: torch.Tensor | float = 1.0) -> torch.Tensor:
    """``values * scale * exp(i phase)`` in place, the same bits wherever in a vector a value stands.

    Each part of a product of complex numbers is two products and a sum, which a processor may fuse in its vectors and not
    beside them. A product with a number that is real, or imaginary, leaves nothing to fuse.
    """
    real, imaginary = ((scale * part(phase)).to(values.real.dtype) for part in (torch.cos, torch.sin))
    crosswise = values * torch.complex(torch.zeros_like(imaginary), imaginary)
    return values.mul_(real).add_(crosswise)


def _gridding(k: torch.Tensor, theta: torch.Tensor, size: int, width: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Cells ``(n_angles, size, 4)`` around every sample as flat indices ``kz * size + kx``, and their Gaussian weights."""
    kx = k[None, :] * torch.cos(theta)[:, None] * size
    kz = -k[None, :] * torch.sin(theta)[:, None] * size
    cells, weights = [], []
    for dz in (0, 1):
        for dx in (0, 1):
            cz, cx = torch.floor(kz) + dz, torch.floor(kx) + dx
            squared = (cz - kz) ** 2 + (cx - kx) ** 2
            weights.append(torch.exp(-squared / (2 * width**2)).float())
            cells.append(torch.remainder(cz, size) * size + torch.remainder(cx, size))
    return torch.stack(cells, -1).long(), torch.stack(weights, -1)
