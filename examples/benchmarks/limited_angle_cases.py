"""Series of tissue for the comparison of methods, with the truth and a mask of the section."""

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

#: Voxels of all series along z, y, x, and their edge in nanometer.
SHAPE, VOXEL = (32, 96, 96), 20.0

#: First seed of the scored sections, and of the sections for tuning.
SCORED_SEED, TUNING_SEED = 100, 10

#: Smallest density of tissue. The mask fills each column from the first to the last such voxel.
LEAST_DENSITY = 0.02

#: Voxels on either side of a face that count neither as inside nor as vacuum.
BAND = 2

#: A microscope without errors, noise or blur, and a section that fills the grid.
CLEAN = MicroscopeSettings.parse({
    "thickness": 1.0, "roughness": 0.0, "stain_gradient": 0.0, "gamma": 1.0, "angle_error": 0.0, "axis_error": 0.0,
    "shift_error": 0.0, "drift": 0.0, "magnification_error": 0.0, "saturation": 0.0, "blur": 0.0, "dose": 1e10,
    "read_noise": 0.0, "gain_error": 0.0, "offset_error": 0.0, "outliers": 0.0,
})  # fmt: skip


@dataclass(frozen=True)
class Case:
    """The series for all methods, the truth and the section's mask ``(nz, ny, nx)``, and the indices of spoilt tilts."""

    series: TiltSeries
    truth: np.ndarray
    mask: np.ndarray
    spoilt: list[int]

    def make_regions(self) -> dict[str, np.ndarray]:
        """Return masks of the inside of the section, of the voxels about its faces, and of vacuum."""
        inside = erode_mask(self.mask)
        near = binary_dilation(self.mask, iterations=BAND)
        return {"inside": inside, "faces": near & ~inside, "vacuum": ~near}


def erode_mask(mask: np.ndarray) -> np.ndarray:
    """Remove two voxels at the faces and at the grid's ends along z from a mask, but none at the borders along y and x."""
    wide = np.pad(mask, ((BAND, BAND), (0, 0), (0, 0)))
    return binary_erosion(wide, iterations=BAND, border_value=1)[BAND:-BAND] & mask


def make_section_mask(truth: np.ndarray) -> np.ndarray:
    """Return the section's mask, ``(nz, ny, nx)``: each column from its first voxel of tissue to its last."""
    dense = truth > LEAST_DENSITY
    z = np.arange(len(truth))[:, None, None]
    first, last = dense.argmax(0), len(truth) - 1 - dense[::-1].argmax(0)
    return (z >= first) & (z <= last) & dense.any(0)


def load_tissue(data: Path, name: str) -> Tissue:
    """Load one of the two volumes of tissue; its voxels are 10 nm."""
    return Tissue.of(np.asarray(open_stack(data / "fibsem_medulla" / name).data[...]), 10.0)


def make_case(
    volume: Tissue, span: int, seed: int, shape: tuple[int, int, int] = SHAPE, microscope: MicroscopeSettings | None = None
) -> Case:
    """Simulate a series of a section; the seed sets its place and orientation."""
    angles = np.deg2rad(np.arange(-span / 2, span / 2 + 1e-6, RANGES[span]))
    simulation = tilt_series(volume, shape, angles, seed=seed, voxel_size=VOXEL, settings=microscope)
    truth = simulation.truth.volume
    series = replace(simulation.series, projections=equalise_brightness(simulation.series))
    return Case(series, truth, make_section_mask(truth), simulation.record["spoilt_tilts"])


def equalise_brightness(series: TiltSeries) -> np.ndarray:
    """Return projections whose mean times cos(theta) is the same in all tilts: differences are brightness, not the section."""
    p = np.asarray(series.projections)
    cos = np.cos(series.geometry.angles)
    mass = p.mean((1, 2)) * cos
    return (p + ((np.median(mass) - mass) / cos)[:, None, None]).astype(np.float32)
