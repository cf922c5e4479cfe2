"""Direct Fourier inversion: put the projections, as central lines of a slice's transform, on a grid and transform back."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy import fft

from tomoprior.geometry import Geometry
from tomoprior.methods import arguments
from tomoprior.methods.base import ALLOCATOR_BYTES, Tunable
from tomoprior.methods.classical import redundancy
from tomoprior.methods.classical.fourier_grid import FourierGrid, choose_grid_size
from tomoprior.progress import Progress
from tomoprior.projector import Projector, rowshift
from tomoprior.reconstruction import Reconstruction
from tomoprior.settings import Settings, document_settings


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
        """Return the bytes of the volume, a copy of the projections, the grid, and a few planes for each thread."""
        nz, ny, nx = geometry.shape
        geometry = redundancy.balanced_geometry(geometry)
        n, _, nu = geometry.range_shape
        size = choose_grid_size(geometry, settings.oversampling)
        columns = size // 2 + 1
        each = 8 * columns * (n + 2 * size + nz) + 8 * nz * size
        placing = 96 * n * columns + 24 * size * columns
        working = 32 * n * columns + 8 * size * columns + min(ny, torch.get_num_threads()) * each
        return ALLOCATOR_BYTES + 4 * ny * (nz * nx + n * nu) + max(placing, working)

    def cost_in_pairs(self, geometry: Geometry, settings: Any) -> float:
        """Return one pair: measured 0.2 for many tilts of wide slices, 2 for few tilts of small ones."""
        return 1.0

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


def _invert(
    data: torch.Tensor, geometry: Geometry, settings: FourierSettings, tilt_weights: torch.Tensor | None
) -> torch.Tensor:
    """Return the volume, slice by slice on the CPU, in a thread for each of torch's."""
    nz, ny, nx = geometry.shape
    weights = None if tilt_weights is None else tilt_weights.reshape(-1).cpu().numpy()
    grid = FourierGrid(geometry, choose_grid_size(geometry, settings.oversampling), settings.kernel_width, weights)
    images = data.cpu().numpy()
    out = np.empty((nz, ny, nx), np.float32)
    threads = min(ny, torch.get_num_threads())
    with ThreadPoolExecutor(threads) as pool:
        for group in geometry.slice_groups():
            phase = _compute_axis_phase(geometry, int(group[0]), grid.size)

            def invert(row: int, phase: NDArray[np.complex64] = phase) -> None:
                spectrum = fft.rfft(images[:, row], n=grid.size)
                spectrum *= phase
                out[:, row] = grid.invert(spectrum)

            list(pool.map(invert, group.tolist()))  # raises what a slice raised
    return torch.from_numpy(out).to(data.device)


def _compute_axis_phase(geometry: Geometry, row: int, size: int) -> NDArray[np.complex64]:
    """Return factors that move the rotation axis of a row to sample 0: ``(n_angles, columns)``, or one row for all tilts."""
    offset = geometry.offsets(row)
    shared = offset[:1] if np.all(offset == offset[0]) else offset
    position = (geometry.detector[1] - 1) / 2 - shared
    return np.asarray(np.exp(2j * math.pi * position[:, None] * np.fft.rfftfreq(size)), np.complex64)
