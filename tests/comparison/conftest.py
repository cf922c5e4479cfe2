from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tomoprior import Geometry, TiltSeries
from tomoprior.comparison import compare
from tomoprior.reconstruction import Reconstruction
from tomoprior.settings import Settings
from tomoprior.simulate import Spheres

SHAPE = (20, 18, 28)
ANGLES = np.deg2rad(np.arange(-60, 61, 5))


class Plain:
    """A method for tests: an object, as a developer gives one, that the registry does not know."""

    name = "plain"
    summary = citation = "for tests"
    couples_slices = False
    uses_projector = True

    class Settings(Settings):
        num_iter: int = 3

    def memory(self, geometry, settings):
        return 0

    def cost_in_pairs(self, geometry, settings):
        return 1.0

    def volume(self, projections, projector, settings, progress):
        """Landweber's iteration from zero."""
        x = torch.zeros(projector.domain_shape)
        step = 1.0 / (projector.geometry.n_angles * projector.domain_shape[0])
        for i in range(settings.num_iter):
            x = x + step * projector.T(projections - projector(x))
            if progress is not None:
                progress(i + 1, settings.num_iter, {})
        return x

    def reconstruct(self, projections, projector, settings, *, weights=None, initial=None, mask=None, progress=None):
        return Reconstruction(self.volume(projections, projector, settings, progress), projector.geometry)


def named(name: str, **members) -> Plain:
    """A method like ``Plain`` with a name of its own and some members replaced."""
    return type(name, (Plain,), {"name": name, **members})()


@pytest.fixture(scope="session")
def made() -> tuple[TiltSeries, np.ndarray]:
    """Hollow spheres, exact projections with a little noise, and the truth."""
    geometry = Geometry(ANGLES, SHAPE, voxel_size=10.0, unit="angstrom")
    phantom = Spheres.random(SHAPE, radius=(3, 7), seed=4)
    projections = phantom.project(geometry)
    noise = np.random.default_rng(0).normal(0, 0.03 * projections.std(), projections.shape)
    return TiltSeries((projections + noise).astype(np.float32), geometry), phantom.volume(SHAPE)


@pytest.fixture
def series(made) -> TiltSeries:
    return replace(made[0])


@pytest.fixture
def truth(made) -> np.ndarray:
    return made[1].copy()


@pytest.fixture(scope="session")
def found(made):
    """A whole comparison, shared by the tests that look at what it says."""
    settings = {"sirt": {"num_iter": 60, "min_constraint": 0, "pad": 0}, "wbp": {"edge": "zero"}}
    return compare(made[0], ["wbp", "sirt"], truth=made[1], settings=settings, isolate=False)
