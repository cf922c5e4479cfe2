"""Direct Fourier inversion: put the projections, as central lines of a slice's transform, on a grid and transform back."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from pydantic import Field
from scipy import fft

from tomoprior.geometry import Geometry
from tomoprior.methods import arguments
from tomoprior.methods.base import ALLOCATOR_BYTES, Tunable
from tomoprior.methods.classical import redundancy
from tomoprior.progress import Progress
from tomoprior.projector import Projector, rowshift
from tomoprior.reconstruction import Reconstruction
from tomoprior.settings import Settings, document_settings

#: Complex values of the padded transform in one block.
BLOCK = 32 * 2**20


class FourierSettings(Settings):
    """Settings of ``fourier``."""

    oversampling: float = Field(
        2.0,
        ge=1,
        le=8,
        description="Factor of padding of slices and projections. More makes the Fourier grid finer and gridding errors at the "
        "rim smaller; 2 is usual.",
    )
    kernel_width: float = Field(
        0.5, gt=0, le=2, description="Standard deviation of the Gaussian that spreads a sample, in cells of the Fourier grid."
    )


@document_settings
class Fourier:
    """Spread every transformed projection over the Fourier cells around its line, then divide by the summed weights.

    Cells that no projection reaches stay zero: the missing wedge remains empty. The scheme is that of EMAN2's reconstructor
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
        """Return the bytes of the volume, a copy of the projections, and blocks of padded slices with their transforms."""
        nz, ny, nx = geometry.shape
        geometry = redundancy.balanced_geometry(geometry)
        n, _, nu = geometry.range_shape
        size = _grid_size(geometry, settings.oversampling)
        block = max(1, min(ny, BLOCK // size**2))
        return ALLOCATOR_BYTES + 4 * ny * (nz * nx + n * nu) + block * (18 * size * size + 24 * n * size) + 96 * n * size

    def cost_in_pairs(self, geometry: Geometry, settings: Any) -> float:
        """Return about four pairs."""
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
        """See ``tomoprior.methods.Method.reconstruct``; weights are per tilt, and an initial volume is refused."""
        arguments.check_rays(self, projector.geometry)
        geometry = projector.geometry
        arguments.check_projections(projections, projector)
        arguments.refuse_arguments(self.name, **{"initial volume": initial})
        tilt_weights = arguments.expand_weights(weights, projector)
        if tilt_weights is not None and tilt_weights.shape[1:] != (1, 1):
            arguments.refuse_arguments(self.name, **{"weights per pixel": tilt_weights})
        mask = arguments.expand_mask(mask, projector)
        with torch.no_grad():
            data = rowshift.undo(projections, geometry) if geometry.couples_slices else projections
            data, rays = redundancy.balance(data, geometry)
            volume = _invert(data, rays, settings, tilt_weights)
            if mask is not None:
                volume *= mask
        if progress is not None:
            progress(1, 1, {})
        return Reconstruction(volume, geometry)


def _grid_size(geometry: Geometry, oversampling: float) -> int:
    nz, _, nx = geometry.shape
    return int(fft.next_fast_len(math.ceil(oversampling * max(nz, nx, geometry.detector[1])) + 1))


def _invert(
    data: torch.Tensor, geometry: Geometry, settings: FourierSettings, tilt_weights: torch.Tensor | None
) -> torch.Tensor:
    nz, ny, nx = geometry.shape
    nu = geometry.detector[1]
    size = _grid_size(geometry, settings.oversampling)
    device = data.device
    k = torch.fft.fftfreq(size, device=device, dtype=torch.float64)  # cycles per voxel
    theta = torch.from_numpy(geometry.angles.copy()).to(device)
    groups = geometry.slice_groups()
    cells, spread = _place_samples(k, theta, size, settings.kernel_width)
    # a cell that only the far tail of a Gaussian reaches holds its neighbours' values, not its own
    reached = spread if tilt_weights is None else spread * (tilt_weights > 0).reshape(-1, 1, 1)
    empty = torch.zeros(size * size, device=device)
    known = empty.index_add(0, cells.reshape(-1), reached.reshape(-1)) > 1e-3 * spread.max()
    if tilt_weights is not None:
        spread *= (tilt_weights / tilt_weights.amax()).reshape(-1, 1, 1)
    total = empty.index_add(0, cells.reshape(-1), spread.reshape(-1))
    scale = torch.where(known, 1 / total.clamp_min(1e-30), empty)
    out = torch.empty(nz, ny, nx, device=device)
    # a phase moves the centres of slice and grid to sample 0 of the transforms
    kz, kx = k[:, None], k[None, :]
    centre = -2 * math.pi * (kx * (nx - 1) / 2 + kz * (nz - 1) / 2)
    block = max(1, BLOCK // size**2)
    for first in range(0, ny, block):
        rows = slice(first, min(ny, first + block))
        transform = torch.fft.fft(data[:, rows], n=size)  # (n, rows, size)
        count = rows.stop - rows.start
        for group in groups:
            selected = group[(group >= rows.start) & (group < rows.stop)] - rows.start
            if len(selected):
                offset = torch.from_numpy(geometry.offsets(int(group[0]))).to(device)  # (n,)
                phase = 2 * math.pi * k * ((nu - 1) / 2 - offset)[:, None]  # (n, size)
                if len(selected) == count:
                    _multiply_phase_(transform, phase[:, None])
                else:
                    index = torch.from_numpy(selected).to(device)
                    transform[:, index] = _multiply_phase_(transform[:, index], phase[:, None])
        plane = torch.zeros(size * size, count, dtype=torch.complex64, device=device)
        samples = transform.permute(0, 2, 1)
        for corner in range(cells.shape[-1]):
            part = samples * spread[..., corner, None]
            plane.index_add_(0, cells[..., corner].reshape(-1), part.reshape(-1, count))
        grid = _multiply_phase_(plane.view(size, size, count), centre[..., None], scale.view(size, size, 1))
        out[:, rows] = torch.fft.ifft2(grid, dim=(0, 1)).real[:nz, :nx].permute(0, 2, 1)
        del transform, samples, part, plane, grid  # before the next block makes its own
    return out


def _multiply_phase_(values: torch.Tensor, phase: torch.Tensor, scale: torch.Tensor | float = 1.0) -> torch.Tensor:
    """Multiply ``values`` by ``scale * exp(i phase)`` in place, with the same bits at any place in a vector.

    Each part of a product of complex numbers is two products and a sum. A processor may fuse them within a vector and not in
    the remainder. A product with a real or an imaginary number leaves nothing to fuse.
    """
    real, imaginary = ((scale * part(phase)).to(values.real.dtype) for part in (torch.cos, torch.sin))
    crosswise = values * torch.complex(torch.zeros_like(imaginary), imaginary)
    return values.mul_(real).add_(crosswise)


def _place_samples(k: torch.Tensor, theta: torch.Tensor, size: int, width: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the cells ``(n_angles, size, 4)`` around every sample as flat indices ``kz * size + kx``, and Gaussian weights."""
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
