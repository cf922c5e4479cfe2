"""A phantom with exact projections, and one way to run a method on it."""

import numpy as np
import pytest
import torch

from tomoprior import Geometry, Projector, methods
from tomoprior.simulate import Spheres


class Case:
    """A series and the truth behind it."""

    def __init__(self, geometry, phantom):
        self.geometry, self.phantom = geometry, phantom
        self.projector = Projector(geometry, "cpu")
        self.projections = torch.from_numpy(phantom.project(geometry))
        self.truth = torch.from_numpy(phantom.volume(geometry.shape))

    def run(self, name, *, projections=None, projector=None, weights=None, initial=None, mask=None, progress=None, **settings):
        """A reconstruction by the method called ``name``."""
        method = methods.get(name)
        p = self.projections if projections is None else projections
        A = self.projector if projector is None else projector
        given = {"weights": weights, "initial": initial, "mask": mask, "progress": progress}
        return method.reconstruct(p, A, method.Settings.parse(settings), **given)

    def psnr(self, volume):
        """In dB, relative to the truth's largest value."""
        return float(10 * torch.log10(self.truth.max() ** 2 / ((volume - self.truth) ** 2).mean()))

    def slope(self, volume):
        """Least-squares factor between the truth and a volume: 1 where the values are right."""
        a, b = self.truth.double().flatten(), volume.double().flatten()
        a, b = a - a.mean(), b - b.mean()
        return float((a * b).sum() / (a * a).sum())

    def correlation(self, volume):
        return float(np.corrcoef(self.truth.flatten().double(), volume.flatten().double())[0, 1])


@pytest.fixture(scope="session")
def case_of():
    """Make a case of random spheres: ``case_of(shape, degrees, **spheres)``."""

    def make(shape, degrees, **spheres):
        geometry = Geometry(np.deg2rad(degrees), shape, center=shape[2] / 2 + 0.3)
        return Case(geometry, Spheres.random(shape, **{"seed": 2, **spheres}))

    return make


@pytest.fixture(scope="session")
def limited():
    """Hollow spheres in a slab, +-60 degrees: the case that tomoprior is for."""
    shape = (16, 12, 40)
    return Case(
        Geometry(np.deg2rad(np.linspace(-60, 60, 25)), shape, center=20.3), Spheres.random(shape, radius=(3, 6), seed=2)
    )


@pytest.fixture(scope="session")
def full():
    """An object that the grid holds, all the way round."""
    shape = (40, 4, 40)
    at = np.array([[5.0, 0, 6], [-8, 0, -3], [6, 0, -9]])
    phantom = Spheres(at, np.array([6.0, 5, 4]), np.array([3.0, 0, 0]), np.array([1.0, 0.7, 1.3]))
    return Case(Geometry(np.linspace(0, np.pi, 90, endpoint=False), shape, center=20.4), phantom)


def relative(a, b):
    return float((a.double() - b.double()).norm() / b.double().norm())


@pytest.fixture(scope="session")
def difference():
    """``||a - b|| / ||b||``."""
    return relative
