"""Phantoms, and the tilt series that a microscope would take of them."""

from tomoprior.simulate.cells import cells
from tomoprior.simulate.microscope import Microscope
from tomoprior.simulate.phantoms import Phantom, available, get
from tomoprior.simulate.recording import tilt_series
from tomoprior.simulate.saving import save
from tomoprior.simulate.simulation import Simulation, simulate
from tomoprior.simulate.spheres import Spheres
from tomoprior.simulate.tissue import Tissue

__all__ = [
    "Microscope",
    "Phantom",
    "Simulation",
    "Spheres",
    "Tissue",
    "available",
    "cells",
    "get",
    "save",
    "simulate",
    "tilt_series",
]
