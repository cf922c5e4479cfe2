"""Reconstruction methods: ``available()`` lists their names, and ``get(name)`` returns one.

``base`` defines what a method is, ``registry`` looks methods up, ``classical`` holds the solvers without learning.
"""

from tomoprior.methods.base import Method
from tomoprior.methods.registry import available, get
from tomoprior.progress import Progress
from tomoprior.settings import Settings

__all__ = ["Method", "Progress", "Settings", "available", "get"]
