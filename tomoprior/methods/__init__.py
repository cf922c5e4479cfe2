"""Reconstruction methods: ``available()`` lists their names, and ``get(name)`` returns one.

``base`` defines what a method is, ``registry`` looks methods up, ``classical`` holds the solvers without learning. The classes
of all installed methods are attributes of this module: ``help(tomoprior.methods.TV)`` describes ``tv`` with its settings.
"""

from importlib.metadata import entry_points
from typing import Any

from tomoprior.methods.base import GROUP, Method
from tomoprior.methods.registry import available, get
from tomoprior.progress import Progress
from tomoprior.settings import Settings

__all__ = ["Method", "Progress", "Settings", "available", "get"]


def __getattr__(name: str) -> Any:
    """Import the class of an installed method on first access."""
    for entry in entry_points(group=GROUP):
        if entry.value.partition(":")[2] == name:
            return entry.load()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
