"""Series of tissue to compare methods on, with the truth and where the section really lies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion

from tomoprior.formats import open_stack
from tomoprior.series import TiltSeries
from tomoprior.simulate import MicroscopeSettings, Tissue, tilt_series

#: Tilt ranges in degrees, and their steps.
RANGES = {10: 1, 20: 2, 40: 2, 60: 2, 120: 2}

#: Of all series: voxels along z, y, x and their edge in nanometer.
SHAPE, VOXEL = (32, 96, 96), 20.0

#: First seeds: of the sections that are scored, and of those that strengths are tuned on.
SCORED, TUNING = 100, 10

#: Density that tissue has more of; columns are filled between the first such voxel and the last.
LEAST_DENSITY = 0.02

#: Voxels on either side of a face that count as neither inside nor vacuum.
BAND = 2

#: A microscope without errors, noise or blur, and a section that fills the grid and has no faces in it.
CLEAN = MicroscopeSettings.parse({
    "thickness": 1.0, "roughness": 0.0, "stain_gradient": 0.0, "gamma": 1.0, "angle_error": 0.0, "axis_error": 0.0,
    "shift_error": 0.0, "drift": 0.0, "magnification_error": 0.0, "saturation": 0.0, "blur": 0.0, "dose": 1e10,
    "read_noise": 0.0, "gain_error": 0.0, "offset_error": 0.0, "outliers": 0.0,
})  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A series as every method gets it; the truth and a mask of the section, ``(nz, ny, nx)``; which tilts are spoilt."""

    series: TiltSeries
    truth: np.ndarray
    mask: np.ndarray
    spoilt: list[int]

    def regions(self) -> dict[str, np.ndarray]:
        """Masks of what is well inside the section, about its faces, and in vacuum."""
        inside = eroded(self.mask)
        near = binary_dilation(self.mask, iterations=BAND)
        return {"inside": inside, "faces": near & ~inside, "vacuum": ~near}


def eroded(mask: np.ndarray) -> np.ndarray:
    """The mask without two voxels at its faces, which the grid's ends are too; not at the borders along y and x."""
    wide = np.pad(mask, ((BAND, BAND), (0, 0), (0, 0)))
    return binary_erosion(wide, iterations=BAND, border_value=1)[BAND:-BAND] & mask


def section_mask(truth: np.ndarray) -> np.ndarray:
    """Mask of the section, ``(nz, ny, nx)``: each column from its first voxel of tissue to its last."""
    dense = truth > LEAST_DENSITY
    z = np.arange(len(truth))[:, None, None]
    first, last = dense.argmax(0), len(truth) - 1 - dense[::-1].argmax(0)
    return (z >= first) & (z <= last) & dense.any(0)


def tissue(data: Path, name: str) -> Tissue:
    """One of the two volumes; its voxels are 10 nm."""
    return Tissue.of(np.asarray(open_stack(data / "fibsem_medulla" / name).data[...]), 10.0)


def case(
    volume: Tissue, span: int, seed: int, shape: tuple[int, int, int] = SHAPE, microscope: MicroscopeSettings | None = None
) -> Case:
    """A section at a place and in an orientation that the seed draws."""
    angles = np.deg2rad(np.arange(-span / 2, span / 2 + 1e-6, RANGES[span]))
    made = tilt_series(volume, shape, angles, seed=seed, voxel_size=VOXEL, settings=microscope)
    truth = made.truth.volume
    series = replace(made.series, projections=levelled(made.series))
    return Case(series, truth, section_mask(truth), made.record["spoilt_tilts"])


def levelled(series: TiltSeries) -> np.ndarray:
    """Projections whose mean times cos(theta) is the same in all tilts: what differs is brightness, not the section."""
    p = np.asarray(series.projections)
    cos = np.cos(series.geometry.angles)
    mass = p.mean((1, 2)) * cos
    return (p + ((np.median(mass) - mass) / cos)[:, None, None]).astype(np.float32)
