"""A method on a small phantom, for the checks of ``tomoprior.testing.methods``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.methods import Method, Settings
from tomoprior.methods.base import PilotMethod, SettledMethod
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction
from tomoprior.running.in_memory import run_method
from tomoprior.simulate import Spheres
from tomoprior.testing._assertions import require

#: Relative difference between a slice alone and in a slab: the same arithmetic in other blocks.
SLAB_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Case:
    """A method with its settings, a phantom and its projections."""

    method: Method
    settings: Settings
    phantom: Spheres
    projector: Projector
    projections: torch.Tensor

    @classmethod
    def create(cls, method: Method, settings: Settings, device: str, center: float) -> Case:
        """Return the method with hollow spheres of 12 x 6 x 24 voxels at 17 tilts."""
        shape = (12, 6, 24)
        # an axis off the centre and uneven tilts: a method must not assume the opposite
        angles = np.deg2rad(np.linspace(-64, 64, 17) + np.tile([0.0, 0.7], 9)[:17])
        geometry = Geometry(angles, shape, center=np.array(center))
        phantom = Spheres.random(shape, radius=(2.5, 4.0), fill=0.2, seed=3)
        return cls(method, settings, phantom, Projector(geometry, device), project_phantom(phantom, geometry, device))

    @cached_property
    def plain(self) -> torch.Tensor:
        """The volume without optional arguments, computed once; ``check_repeats`` tests that a second one is the same."""
        return self.volume()

    def with_closed_settings(self) -> Case:
        """Return the case with the settings that the method chooses for itself, if it says that it leaves some open."""
        if not (isinstance(self.method, PilotMethod) and isinstance(self.method, SettledMethod)):
            return self
        if not self.method.leaves_open(self.settings):
            return self
        chosen = self.method.settings_from_pilot(self.run(), self.settings, Path())
        return replace(self, settings=type(self.settings).parse({**self.settings.model_dump(), **chosen}))

    def run(
        self, projections: torch.Tensor | None = None, projector: Projector | None = None, **arguments: Any
    ) -> Reconstruction:
        """Run the method on these projections or on others."""
        p = self.projections if projections is None else projections
        return run_method(self.method, p, self.projector if projector is None else projector, self.settings, **arguments)

    def volume(
        self, projections: torch.Tensor | None = None, projector: Projector | None = None, **arguments: Any
    ) -> torch.Tensor:
        """Run the method and return the volume only."""
        volume: torch.Tensor = self.run(projections, projector, **arguments).volume
        return volume


def project_phantom(phantom: Spheres, geometry: Geometry, device: str) -> torch.Tensor:
    """Return the exact projections of a phantom, ``(n_angles, ny, nu)``."""
    return torch.from_numpy(phantom.project(geometry)).to(device)


def run_unless_refused(case: Case, **arguments: Any) -> torch.Tensor | None:
    """Return the volume, or None if the method refuses an argument with an error of one line."""
    try:
        return case.volume(**arguments)
    except InputError as error:
        require("\n" not in str(error), f"a refusal takes more than one line: {error}")
        return None


def require_finite(volume: torch.Tensor, case: Case, condition: str) -> None:
    """Check the shape of a volume and that its values are finite."""
    require(tuple(volume.shape) == case.projector.domain_shape, f"the result {condition} has shape {tuple(volume.shape)}")
    require(bool(torch.isfinite(volume).all()), f"the result {condition} holds values that are not finite")
