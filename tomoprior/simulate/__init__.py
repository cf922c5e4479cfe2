"""Phantoms, and the tilt series that a microscope records of them."""

from tomoprior.deprecation import deprecated_names
from tomoprior.simulate.cells import cells
from tomoprior.simulate.cryo import CryoSettings
from tomoprior.simulate.microscope import MicroscopeSettings
from tomoprior.simulate.phantoms import Phantom, get_phantom, list_phantoms
from tomoprior.simulate.recording import tilt_series
from tomoprior.simulate.saving import save_simulation
from tomoprior.simulate.simulation import Simulation, simulate
from tomoprior.simulate.spheres import Spheres
from tomoprior.simulate.tissue import Tissue

__all__ = [
    "CryoSettings",
    "MicroscopeSettings",
    "Phantom",
    "Simulation",
    "Spheres",
    "Tissue",
    "list_phantoms",
    "cells",
    "get_phantom",
    "save_simulation",
    "simulate",
    "tilt_series",
]

__getattr__ = deprecated_names(
    __name__,
    {"Microscope": "MicroscopeSettings", "available": "list_phantoms", "get": "get_phantom", "save": "save_simulation"},
)
