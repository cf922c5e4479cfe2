"""Series of tissue to compare methods on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tomoprior.formats import open_stack
from tomoprior.series import TiltSeries
from tomoprior.simulate import Tissue, tilt_series

#: Tilt ranges in degrees, and their steps.
RANGES = {10: 1, 20: 2, 40: 2, 60: 2, 120: 2}


@dataclass(frozen=True)
class Case:
    """A series as every method gets it, and the truth ``(nz, ny, nx)``."""

    series: TiltSeries
    truth: np.ndarray

    def with_shifted_tilt(self, tilt: int, pixels: int) -> Case:
        """The same with one picture moved along x."""
        moved = np.array(self.series.projections)
        moved[tilt] = np.roll(moved[tilt], pixels, axis=1)
        return replace(self, series=replace(self.series, projections=moved))


def tissue(data: Path, name: str) -> Tissue:
    """One of the two volumes; its voxels are 10 nm."""
    return Tissue.of(np.asarray(open_stack(data / "fibsem_medulla" / name).data[...]), 10.0)


def case(volume: Tissue, span: int, seed: int, shape: tuple[int, int, int] = (32, 96, 96)) -> Case:
    """A section at a place and in an orientation that the seed draws."""
    angles = np.deg2rad(np.arange(-span / 2, span / 2 + 1e-6, RANGES[span]))
    made = tilt_series(volume, shape, angles, seed=seed, voxel_size=20.0)
    return Case(replace(made.series, projections=levelled(made.series)), made.truth.volume)


def levelled(series: TiltSeries) -> np.ndarray:
    """Projections whose mean times cos(theta) is the same in all tilts: what differs is brightness, not the section."""
    p = np.asarray(series.projections)
    cos = np.cos(series.geometry.angles)
    mass = p.mean((1, 2)) * cos
    return (p + ((np.median(mass) - mass) / cos)[:, None, None]).astype(np.float32)
