"""A small series, and a method that shows which random numbers and threads it gets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tomoprior import Geometry, Reconstruction, TiltSeries
from tomoprior.settings import Settings
from tomoprior.simulate import Spheres


class Random:
    """A method whose volume is random, and which notes torch's number of threads."""

    name, summary, citation, Settings = "random", "", "", Settings
    couples_slices, uses_projector = False, False

    def __init__(self) -> None:
        self.threads: list[int] = []

    def memory(self, geometry: Geometry, settings: Any) -> int:
        return 0

    def cost_in_pairs(self, geometry: Geometry, settings: Any) -> float:
        return 0.0

    def reconstruct(self, projections: Any, projector: Any, settings: Any, **_: Any) -> Reconstruction:
        self.threads.append(torch.get_num_threads())
        return Reconstruction(torch.rand(projector.domain_shape), projector.geometry)


@pytest.fixture
def random_method() -> Random:
    return Random()


@pytest.fixture(scope="session")
def small() -> TiltSeries:
    shape = (12, 6, 24)
    geometry = Geometry(np.deg2rad(np.linspace(-60, 60, 21)), shape)
    return TiltSeries(Spheres.random(shape, radius=(2, 4), seed=1).project(geometry), geometry)
