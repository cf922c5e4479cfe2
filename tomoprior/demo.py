"""What the demo shows: hollow spheres in a slab, seen over +-60 degrees with a little noise, and three ways back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.geometry import Geometry
from tomoprior.series import TiltSeries
from tomoprior.simulate import Spheres

SHAPE = (48, 64, 128)
ANGLES = np.arange(-60, 61, 2)
#: Standard deviation of the noise, as a fraction of the projections' own.
NOISE = 0.05
#: Each with what suits the phantom best: it is isolated (no padding) and nowhere negative.
METHODS: dict[str, dict[str, Any]] = {
    "wbp": {},
    "sirt": {"num_iter": 150, "min_constraint": 0, "pad": 0},
    "tv": {"num_iter": 300, "pad": 0},
}


def make(seed: int) -> tuple[NDArray[np.float32], TiltSeries]:
    """The phantom's volume and its tilt series, with exact projections and Gaussian noise."""
    geometry = Geometry(np.deg2rad(ANGLES), SHAPE, voxel_size=10.0, unit="angstrom")
    spheres = Spheres.random(SHAPE, radius=(5, 18), seed=seed)
    projections = spheres.project(geometry)
    noise = np.random.default_rng(seed).normal(0, NOISE * projections.std(), projections.shape)
    return spheres.volume(SHAPE), TiltSeries((projections + noise).astype(np.float32), geometry)


def picture(volumes: Mapping[str, NDArray[np.float32]], path: Path, *, grey: tuple[float, float] | None = None) -> None:
    """The middle slices x-z (where the missing wedge shows) and x-y of every volume, on one grey scale (the first's)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from tomoprior.formats.files import replacing

    first = next(iter(volumes.values()))
    nz, ny, nx = first.shape
    low, high = grey or (float(first.min()), float(first.max()))
    width = 2.6 * len(volumes)
    figure = Figure(figsize=(width, 0.5 + width / len(volumes) * (nz + ny) / nx), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(volumes), squeeze=False, height_ratios=[nz, ny])
    for column, (name, volume) in enumerate(volumes.items()):
        for row, (plane, label) in enumerate(((volume[:, ny // 2, :], "z"), (volume[nz // 2], "y"))):
            axis = axes[row, column]
            axis.imshow(plane, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            if column == 0:
                axis.set_ylabel(f"{label}, down;  x, right")
        axes[0, column].set_title(name)
    with replacing(path, overwrite=True) as temporary:
        figure.savefig(temporary, dpi=110)
