"""A method on a small phantom, as the checks of ``tomoprior.testing.methods`` run it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.methods import Method, Settings
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction
from tomoprior.simulate import Spheres
from tomoprior.testing.operators import require

#: A slice alone against the same slice in a slab: the same arithmetic, blocked otherwise.
SLAB_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Case:
    """A method with its settings and a phantom to try it on."""

    method: Method
    settings: Settings
    phantom: Spheres
    projector: Projector
    projections: torch.Tensor

    @classmethod
    def make(cls, method: Method, settings: Settings, device: str, center: float) -> Case:
        shape = (12, 6, 24)
        # an axis off the middle and tilts that are not even: what a method might take for granted
        angles = np.deg2rad(np.linspace(-64, 64, 17) + np.tile([0.0, 0.7], 9)[:17])
        geometry = Geometry(angles, shape, center=np.array(center))
        phantom = Spheres.random(shape, radius=(2.5, 4.0), fill=0.2, seed=3)
        return cls(method, settings, phantom, Projector(geometry, device), data_of(phantom, geometry, device))

    @cached_property
    def plain(self) -> torch.Tensor:
        """The volume from these data without any argument, made once: that a second one is the same is checked by itself."""
        return self.volume()

    def run(
        self, projections: torch.Tensor | None = None, projector: Projector | None = None, **arguments: Any
    ) -> Reconstruction:
        """Run the method on these data or others."""
        p = self.projections if projections is None else projections
        torch.manual_seed(0)  # as tomoprior.reconstruct does, for methods that draw random numbers
        return self.method.reconstruct(p, self.projector if projector is None else projector, self.settings, **arguments)

    def volume(
        self, projections: torch.Tensor | None = None, projector: Projector | None = None, **arguments: Any
    ) -> torch.Tensor:
        """Run the method and keep the volume only."""
        volume: torch.Tensor = self.run(projections, projector, **arguments).volume
        return volume


def data_of(phantom: Spheres, geometry: Geometry, device: str) -> torch.Tensor:
    return torch.from_numpy(phantom.project(geometry)).to(device)


def unless_refused(case: Case, **arguments: Any) -> torch.Tensor | None:
    """Give the volume, or None if the method says in one line that it has no use for an argument."""
    try:
        return case.volume(**arguments)
    except InputError as error:
        require("\n" not in str(error), f"a refusal takes more than one line: {error}")
        return None


def finite(volume: torch.Tensor, case: Case, when: str) -> None:
    require(tuple(volume.shape) == case.projector.domain_shape, f"the result {when} has shape {tuple(volume.shape)}")
    require(bool(torch.isfinite(volume).all()), f"the result {when} holds values that are not finite")
