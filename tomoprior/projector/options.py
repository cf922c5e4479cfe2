"""The arguments of a projector without its geometry, for code that builds projectors of several geometries."""

from __future__ import annotations

from dataclasses import dataclass

from tomoprior.geometry import Geometry
from tomoprior.projector.backends import Kind
from tomoprior.projector.projector import Projector


@dataclass(frozen=True)
class ProjectorOptions:
    """Device, kind and backend of a projector.

    Parameters
    ----------
    device, kind, backend
        As for ``Projector``.
    """

    device: str = "auto"
    kind: Kind = "linear"
    backend: str = "auto"

    def projector(self, geometry: Geometry) -> Projector:
        """Return the projector of a geometry.

        Parameters
        ----------
        geometry
            Angles, grid and detector.

        Returns
        -------
        Projector
            With these options.

        Raises
        ------
        SettingsError, BackendError, UnknownNameError
            As ``Projector``.
        """
        return Projector(geometry, self.device, self.kind, self.backend)
