"""What the demo shows: two specimens that could not differ more, seen over +-60 degrees, and what each method makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.series import TiltSeries
from tomoprior.simulate import Tissue, cells, simulate, tilt_series

ANGLES = np.arange(-60, 61, 3)

Made = tuple[TiltSeries, NDArray[np.float32]]


@dataclass(frozen=True)
class Scene:
    """A specimen and the methods that look at it.

    Attributes
    ----------
    name, title
        Of its files, and in words.
    make
        Series and truth from a seed and a shape ``(nz, ny, nx)``.
    shape
        Of the volume in voxels.
    methods
        By name, with the settings that suit the specimen in the time of a demo.
    """

    name: str
    title: str
    make: Callable[[int, tuple[int, int, int]], Made]
    shape: tuple[int, int, int]
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def spheres(seed: int, shape: tuple[int, int, int]) -> Made:
    """Hollow spheres in nothing, projected by another kernel on a finer grid, with a twentieth of noise in power."""
    made = simulate("spheres", shape, np.deg2rad(ANGLES), seed=seed, snr=20)
    return made.series, made.truth.volume


def tissue(seed: int, shape: tuple[int, int, int]) -> Made:
    """A section of made-up tissue as an electron microscope records it, with noise, misalignment and uneven brightness."""
    grey = cells((120, 120, 120), 16.0, seed=seed)
    made = tilt_series(Tissue.of(grey, 16.0), shape, np.deg2rad(ANGLES), seed=seed, voxel_size=20.0)
    return made.series, made.truth.volume


SCENES = (
    Scene(
        "spheres",
        "hollow spheres in nothing, a little noise",
        spheres,
        (32, 48, 96),
        {
            "wbp": {},
            # isolated (no padding) and nowhere negative
            "sirt": {"num_iter": 100, "min_constraint": 0, "pad": 0},
            "tv": {"num_iter": 200, "reg_par": "held-out", "pad": 0},
            "cn": {"degree": 3, "stop": "none", "num_iter": 150, "pad": 0},
        },
    ),
    Scene(
        "tissue",
        "a section of made-up tissue, with all that goes wrong in a microscope",
        tissue,
        (32, 48, 80),
        {
            "wbp": {"filter_name": "hann", "cutoff": 0.5},
            # stopped early, as specimens of other seeds ask for: what is wrong with the data goes into the volume else
            "sirt": {"num_iter": 20},
            "tv": {"num_iter": 8},
            "cn": {"degree": 3, "stop": "none", "reg_par": "auto", "num_iter": 12},
            "diffusion": {"samples": 2, "num_iter": 6},
        },
    ),
)
