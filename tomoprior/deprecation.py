"""Old public names that keep working for one release."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def deprecated_names(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` that gives the new object for an old name, with a ``DeprecationWarning``.

    Parameters
    ----------
    module
        ``__name__`` of the module.
    names
        Old names, and the names in that module that replace them.

    Returns
    -------
    callable
        Takes a name and returns the object; raises AttributeError for a name that is not in ``names``.
    """

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        message = f"{module}.{name} is called {module}.{names[name]} now; the old name goes with the next release"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return getattr(sys.modules[module], names[name])

    return get
