"""A series whose volume takes three slabs, and what a folder holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tomoprior import Geometry, TiltSeries
from tomoprior.simulate import Spheres

SHAPE = (12, 80, 24)


def series_of(shape: tuple[int, int, int] = SHAPE, noise: float = 0.3, seed: int = 0) -> TiltSeries:
    """Spheres all over, alike in every slice but for chance."""
    geometry = Geometry(np.deg2rad(np.linspace(-60, 60, 21)), shape, voxel_size=8.0, unit="angstrom")
    spheres = Spheres.random(shape, radius=(2, 4), seed=seed)
    data = spheres.project(geometry)
    return TiltSeries((data + noise * np.random.default_rng(seed).normal(size=data.shape)).astype(np.float32), geometry)


@pytest.fixture(scope="session")
def series() -> TiltSeries:
    return series_of()


@pytest.fixture(scope="session")
def make_series() -> Callable[..., TiltSeries]:
    return series_of


def content(path: Path) -> dict[str, bytes]:
    """All files of an output, by name."""
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    return {str(p.relative_to(path)): p.read_bytes() for p in files}


@pytest.fixture(scope="session")
def bytes_of() -> Callable[[Path], dict[str, bytes]]:
    return content
