"""Random parameters of a training example: its angles, voxel size, height and thickness."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tomoprior.simulate.tissue import Tissue
from tomoprior.training.settings import TrainingSettings

#: Share of the draws on a grid that is thinner than the tile.
THINNER = 0.25

#: Shares of the sections that fill their grid, and of those that take less than 0.7 of it.
FILLED, THIN = 0.2, 0.15

#: Share of the draws with the typical voxel size, for which a tissue of half that size needs no interpolation.
TYPICAL = 0.4


def draw_angles(settings: TrainingSettings, rng: Generator) -> NDArray[np.float64]:
    """Return the tilt angles of a draw in radians."""
    low, high = settings.ranges
    span = low * (high / low) ** rng.random()
    step = settings.tilt_step[0] * (settings.tilt_step[1] / settings.tilt_step[0]) ** rng.random()
    n = int(np.clip(round(span / step) + 1, *settings.tilts))
    furthest = min(settings.centre, settings.ranges[1] / 2 - span / 2)
    middle = rng.uniform(-1, 1) * max(0.0, furthest)
    return np.asarray(np.deg2rad(middle + np.linspace(-span / 2, span / 2, n)))


def draw_voxel_size(settings: TrainingSettings, tissues: Sequence[Tissue], rng: Generator) -> float:
    """Return the voxel size of a draw, in the unit of the tissues."""
    low, high = settings.voxel_size
    if rng.random() < TYPICAL:
        return settings.typical_voxel(*tissues)
    return max(float(low * (high / low) ** rng.random()), min(t.voxel_size for t in tissues))


def draw_height(settings: TrainingSettings, rng: Generator) -> int:
    """Return the height of a draw's grid in voxels."""
    height = settings.height
    return height if rng.random() >= THINNER else int(rng.integers(height // 4, height))


def draw_thickness(rng: Generator) -> float:
    """Return the thickness of a section as a share of the height of its grid."""
    kind = rng.random()
    if kind < FILLED:
        return 1.0
    return float(rng.uniform(0.35, 0.7) if kind < FILLED + THIN else rng.uniform(0.7, 0.999))
