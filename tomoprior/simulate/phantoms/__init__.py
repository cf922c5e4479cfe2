"""Phantoms by name."""

from __future__ import annotations

from typing import Any

from tomoprior import plugins
from tomoprior.simulate.phantoms.atoms import Capsid, Protein
from tomoprior.simulate.phantoms.base import Phantom
from tomoprior.simulate.phantoms.foam import Foam
from tomoprior.simulate.phantoms.particles import Particles
from tomoprior.simulate.phantoms.shapes import Shapes
from tomoprior.simulate.phantoms.spheres import HollowSpheres

PHANTOMS: dict[str, type[Phantom]] = {kind.name: kind for kind in (HollowSpheres, Shapes, Capsid, Protein, Particles, Foam)}


def list_phantoms() -> list[str]:
    """Return the names of all phantoms."""
    return list(PHANTOMS)


def get_phantom(name: str, **settings: Any) -> Phantom:
    """Return the phantom called ``name`` with the given settings.

    Parameters
    ----------
    name
        As ``list_phantoms`` gives it.
    **settings
        The phantom's settings.

    Returns
    -------
    Phantom
        Its ``scene(shape, seed=...)`` places it in a grid.

    Raises
    ------
    UnknownNameError
        If there is no such phantom; the message names the nearest.
    SettingsError
        For an unknown setting, or a value out of range.

    Examples
    --------
    >>> get_phantom("spheres", wall=0.5).scene((32, 32, 32), seed=1).volume().shape
    (32, 32, 32)
    """
    if name not in PHANTOMS:
        raise plugins.unknown_name_error("phantom", name, list_phantoms())
    return PHANTOMS[name].parse(settings)


__all__ = [
    "PHANTOMS",
    "Capsid",
    "Foam",
    "HollowSpheres",
    "Particles",
    "Phantom",
    "Protein",
    "Shapes",
    "list_phantoms",
    "get_phantom",
]
