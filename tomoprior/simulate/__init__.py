"""Phantoms with known projections."""

from tomoprior.simulate.spheres import Spheres

__all__ = ["Spheres"]
