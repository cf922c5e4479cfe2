"""The scenes of the demo: two very different specimens, tilted over +-60 degrees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tomoprior.series import TiltSeries
from tomoprior.simulate import Tissue, cells, simulate, tilt_series

ANGLES = np.arange(-60, 61, 3)

SeriesAndTruth = tuple[TiltSeries, NDArray[np.float32]]


@dataclass(frozen=True)
class Scene:
    """A specimen and the methods that reconstruct it.

    Attributes
    ----------
    name, title
        Name of its files, and title.
    make
        Returns series and truth from a seed and a shape ``(nz, ny, nx)``.
    shape
        Shape of the volume in voxels.
    methods
        Names of the methods; each runs at its default.
    """

    name: str
    title: str
    make: Callable[[int, tuple[int, int, int]], SeriesAndTruth]
    shape: tuple[int, int, int]
    methods: tuple[str, ...]


def spheres(seed: int, shape: tuple[int, int, int]) -> SeriesAndTruth:
    """Simulate hollow spheres in vacuum: another kernel, a finer grid, and noise with a twentieth of the power."""
    simulation = simulate("spheres", shape, np.deg2rad(ANGLES), seed=seed, snr=20)
    return simulation.series, simulation.truth.volume


def tissue(seed: int, shape: tuple[int, int, int]) -> SeriesAndTruth:
    """Simulate a section of artificial tissue in an electron microscope, with noise, misalignment and uneven brightness."""
    grey = cells((120, 120, 120), 16.0, seed=seed)
    simulation = tilt_series(Tissue.of(grey, 16.0), shape, np.deg2rad(ANGLES), seed=seed, voxel_size=20.0)
    return simulation.series, simulation.truth.volume


SCENES = (
    Scene(
        "spheres",
        "hollow spheres in vacuum, a little noise",
        spheres,
        (24, 32, 80),
        ("wbp", "sirt", "tv", "cn"),
    ),
    Scene(
        "tissue",
        "a section of artificial tissue, with the errors of a microscope",
        tissue,
        (24, 32, 64),
        ("wbp", "sirt", "tv", "cn", "diffusion"),
    ),
)
