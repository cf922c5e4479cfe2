"""Reconstruction methods: ``available()`` lists them, ``get(name)`` gives one.

``base`` says what a method is, ``registry`` finds them, ``classical`` holds the solvers without learning.
"""

from tomoprior.methods.base import Method, Progress, Settings
from tomoprior.methods.registry import available, get

__all__ = ["Method", "Progress", "Settings", "available", "get"]
