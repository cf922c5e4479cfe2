"""The arguments of a projector without its geometry, for code that builds projectors of several geometries."""

from __future__ import annotations

from dataclasses import dataclass

from tomoprior.geometry import Geometry
from tomoprior.projector.backends import Kind
from tomoprior.projector.projector import Projector


@dataclass(frozen=True)
class ProjectorOptions:
    """Device, kind and backend, as ``Projector`` takes them."""

    device: str = "auto"
    kind: Kind = "linear"
    backend: str = "auto"

    def projector(self, geometry: Geometry) -> Projector:
        """Return the projector of a geometry; raises as ``Projector`` does."""
        return Projector(geometry, self.device, self.kind, self.backend)
