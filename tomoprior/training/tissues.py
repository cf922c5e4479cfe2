"""Properties of the tissues that a training needs before it draws from them: shares, sizes of blocks, and the spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.methods.diffusion.ray_geometry import compute_padding
from tomoprior.methods.diffusion.scale import UNIT_STD
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.simulate.microscope import MicroscopeSettings
from tomoprior.simulate.recording import SUPERSAMPLE, margin_pixels, width_beyond_grid
from tomoprior.simulate.tissue import Tissue
from tomoprior.training.settings import TrainingSettings


@dataclass(frozen=True)
class SeriesBlock:
    """The block of tissue whose fine voxels hold every ray of a series.

    Attributes
    ----------
    shape
        ``(z, y, x)`` in voxels of the grid.
    margin
        Voxels beyond the grid at either end of y, and pixels beyond the detector on every side.
    beyond
        Voxels beyond the grid at either end of x; at least the padding of the estimates.
    """

    shape: tuple[int, int, int]
    margin: int
    beyond: int

    @classmethod
    def of(cls, geometry: Geometry, microscope: MicroscopeSettings) -> SeriesBlock:
        """Return the block for a series of this geometry."""
        nz, ny, nx = geometry.shape
        margin = margin_pixels(microscope)
        beyond = max(width_beyond_grid(geometry.shape, geometry.angles, margin, microscope), compute_padding(geometry))
        return cls((nz, ny + 2 * margin, nx + 2 * beyond), margin, beyond)


def fine_shape(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the shape of a block in fine voxels."""
    nz, ny, nx = (n * SUPERSAMPLE for n in shape)
    return nz, ny, nx


def fine_spacing(tissue: Tissue, voxel_size: float) -> float:
    """Return the edge of a fine voxel in voxels of the tissue, for a grid of this voxel size or that of the tissue."""
    return max(voxel_size, tissue.voxel_size) / SUPERSAMPLE / tissue.voxel_size


def volume_shares(tissues: Sequence[Tissue]) -> NDArray[np.float64]:
    """Return the share of each tissue's volume in the volume of all."""
    sizes = np.array([float(np.prod(t.grey.shape, dtype=float)) * t.voxel_size**3 for t in tissues])
    return np.asarray(sizes / sizes.sum())


def check_size(tissues: Sequence[Tissue], settings: TrainingSettings) -> None:
    """Raise InputError if no volume is large enough for the widest series in the largest voxels."""
    widest = np.deg2rad(settings.ranges[1] / 2)
    largest = settings.voxel_size[1]
    block = SeriesBlock.of(Geometry(np.array([widest]), (settings.height, *settings.field)), MicroscopeSettings())
    reason = "there is no volume"
    for tissue in tissues:
        try:
            for seed in range(6):  # any axis may lie along any other
                tissue.place(fine_shape(block.shape), fine_spacing(tissue, largest), np.random.default_rng(seed))
            return
        except InputError as error:
            reason = str(error)
    raise InputError(f"this volume gives no series at {np.rad2deg(widest):g} degrees in voxels of {largest:g}: {reason}")


def tissue_spectrum(tissues: Sequence[Tissue], voxel_size: float, unit_std: float = UNIT_STD, seed: int = 0) -> Spectrum:
    """Return the spectrum of the tissue, scaled to a standard deviation of ``unit_std``, from twelve blocks."""
    rng = np.random.default_rng([seed, 2**31])
    edge = int(min(96, *(min(t.grey.shape) * t.voxel_size // voxel_size for t in tissues)))
    shares = volume_shares(tissues)
    blocks = []
    for _ in range(12):
        tissue = tissues[int(rng.choice(len(tissues), p=shares)) if len(tissues) > 1 else 0]
        blocks.append(tissue.block((edge, edge, edge), voxel_size / tissue.voxel_size, rng))
    spread = float(np.sqrt(np.mean([b.var() for b in blocks])))
    return Spectrum.fit([(b - b.mean()) * np.float32(unit_std / spread) for b in blocks], voxel_size)
