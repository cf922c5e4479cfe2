"""What a training must know of its tissues before it draws from them: their shares, their room and their spectrum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import InputError
from tomoprior.methods.diffusion.scale import UNIT_STD
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.simulate.microscope import MicroscopeSettings
from tomoprior.simulate.recording import SUPERSAMPLE, margin_pixels, width_beyond_grid
from tomoprior.simulate.tissue import Tissue
from tomoprior.training.settings import TrainingSettings


def volume_shares(tissues: Sequence[Tissue]) -> NDArray[np.float64]:
    """Share of each tissue's volume in that of all."""
    sizes = np.array([float(np.prod(t.grey.shape, dtype=float)) * t.voxel_size**3 for t in tissues])
    return np.asarray(sizes / sizes.sum())


def check_room(tissues: Sequence[Tissue], settings: TrainingSettings) -> None:
    """Raise InputError if no volume is large enough for the widest series in the largest voxels."""
    widest = np.deg2rad(settings.ranges[1] / 2)
    reason = "there is none"
    for tissue in tissues:
        microscope = MicroscopeSettings()
        shape = (settings.height, *settings.field)
        margin = margin_pixels(microscope)
        beside = width_beyond_grid(shape, np.array([widest]), margin, microscope)
        size = max(settings.voxel_size[1], tissue.voxel_size) / SUPERSAMPLE / tissue.voxel_size
        s = SUPERSAMPLE
        try:
            for seed in range(6):  # any axis may lie along any other
                tissue.place(
                    (shape[0] * s, (shape[1] + 2 * margin) * s, (shape[2] + 2 * beside) * s), size, np.random.default_rng(seed)
                )
            return
        except InputError as error:
            reason = str(error)
    raise InputError(
        f"this volume gives no series at {np.rad2deg(widest):g} degrees in voxels of {settings.voxel_size[1]:g}: {reason}"
    )


def tissue_spectrum(tissues: Sequence[Tissue], voxel_size: float, unit_std: float = UNIT_STD, seed: int = 0) -> Spectrum:
    """Spectrum of the tissue scaled to a standard deviation of ``unit_std``, from twelve blocks."""
    rng = np.random.default_rng([seed, 2**31])
    edge = int(min(96, *(min(t.grey.shape) * t.voxel_size // voxel_size for t in tissues)))
    shares = volume_shares(tissues)
    blocks = []
    for _ in range(12):
        tissue = tissues[int(rng.choice(len(tissues), p=shares)) if len(tissues) > 1 else 0]
        blocks.append(tissue.block((edge, edge, edge), voxel_size / tissue.voxel_size, rng))
    spread = float(np.sqrt(np.mean([b.var() for b in blocks])))
    return Spectrum.fit([(b - b.mean()) * np.float32(unit_std / spread) for b in blocks], voxel_size)
