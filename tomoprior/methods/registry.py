"""Look methods up by name."""

from __future__ import annotations

import warnings

from tomoprior import plugins
from tomoprior.methods.base import GROUP, Method

#: Members of a method that were renamed: a plug-in may still have the old ones.
RENAMED_MEMBERS = {"work": "cost_in_pairs", "carried": "settings_from_pilot", "within": "settings_for_rows"}


def available() -> list[str]:
    """Return the names of all installed methods.

    Returns
    -------
    list of str
        Plain names first, then members of a family as ``family.member``.

    Examples
    --------
    >>> from tomoprior import methods
    >>> "sirt" in methods.available()
    True
    """
    names = []
    for name in plugins.names(GROUP):
        entry = plugins.load(GROUP, name)
        if hasattr(entry, "members"):
            names += [f"{name}.{member}" for member in entry().members()]
        else:
            names.append(name)
    return sorted(names, key=lambda n: ("." in n, n))


def get(name: str) -> Method:
    """Return a new instance of the method called ``name``.

    Parameters
    ----------
    name
        One of ``available()``, such as ``sirt`` or ``astra.SIRT``.

    Returns
    -------
    Method
        A new object; its settings are ``method.Settings``.

    Raises
    ------
    UnknownNameError
        If no method has this name; the message contains the nearest names.
    MissingDependencyError
        If the method belongs to a package that is not installed.

    Examples
    --------
    >>> from tomoprior import methods
    >>> methods.get("sirt").Settings().num_iter
    500
    """
    family, _, member = name.partition(".")
    known = plugins.names(GROUP)
    if member and family in known:
        entry = plugins.load(GROUP, family)
        if hasattr(entry, "members"):
            return _with_current_members(entry().get(member))
    if name not in known or hasattr(plugins.load(GROUP, name), "members"):
        raise plugins.unknown_name_error("method", name, available())
    return _with_current_members(plugins.load(GROUP, name)())


def _with_current_members(method: Method) -> Method:
    """Let a plug-in's members with an old name be found by their current name too, and warn of them."""
    for old, new in RENAMED_MEMBERS.items():
        if hasattr(method, old) and not hasattr(method, new):
            message = (
                f"method {method.name}: {type(method).__name__}.{old} is now called {new}; the old name works for one release"
            )
            warnings.warn(message, DeprecationWarning, stacklevel=3)
            setattr(method, new, getattr(method, old))
    return method
