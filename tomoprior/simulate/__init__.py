"""Phantoms, and the tilt series that a microscope would take of them."""

from tomoprior.simulate.phantoms import Phantom, available, get
from tomoprior.simulate.saving import save
from tomoprior.simulate.simulation import Simulation, simulate
from tomoprior.simulate.spheres import Spheres

__all__ = ["Phantom", "Simulation", "Spheres", "available", "get", "save", "simulate"]
