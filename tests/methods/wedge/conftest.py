"""A small training: spheres of 24 voxels, cubes of 16."""

import numpy as np
import pytest
import torch

from tomoprior import Geometry, TiltSeries
from tomoprior.simulate import Spheres

#: Seconds, not minutes.
SMALL = {"cube_size": 16, "width": 8, "depth": 2, "batch_size": 2, "num_iter": 2, "steps_per_round": 6, "tile_size": 32}


@pytest.fixture(scope="session")
def small():
    return dict(SMALL)


@pytest.fixture(scope="session")
def spheres():
    """A series over +-60 degrees and the truth behind it."""
    shape = (24, 32, 32)
    geometry = Geometry(np.deg2rad(np.arange(-60, 61, 4)), shape)
    phantom = Spheres.random(shape, radius=(3, 5), seed=4)
    return TiltSeries(phantom.project(geometry), geometry), phantom.volume(shape)


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)
