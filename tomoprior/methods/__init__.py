"""Reconstruction methods: ``available()`` lists them, ``get(name)`` gives one.

``base`` says what a method is, ``registry`` finds them, ``classical`` holds the solvers without learning.
"""

from tomoprior.methods.base import Method
from tomoprior.methods.registry import available, get
from tomoprior.progress import Progress
from tomoprior.settings import Settings

__all__ = ["Method", "Progress", "Settings", "available", "get"]
