"""Finding methods by name."""

from __future__ import annotations

from tomoprior import plugins
from tomoprior.methods.base import GROUP, Method


def available() -> list[str]:
    """Names of all methods installed; members of a family as ``family.member``."""
    found = []
    for name in plugins.names(GROUP):
        entry = plugins.load(GROUP, name)
        if hasattr(entry, "members"):
            found += [f"{name}.{member}" for member in entry().members()]
        else:
            found.append(name)
    return sorted(found, key=lambda n: ("." in n, n))


def get(name: str) -> Method:
    """The method called ``name``.

    Raises
    ------
    UnknownNameError
        If there is none; the message names the nearest.
    MissingDependencyError
        If it belongs to a package that is not installed.
    """
    family, _, member = name.partition(".")
    known = plugins.names(GROUP)
    if member and family in known:
        entry = plugins.load(GROUP, family)
        if hasattr(entry, "members"):
            return entry().get(member)  # type: ignore[no-any-return]
    if name not in known or hasattr(plugins.load(GROUP, name), "members"):
        raise plugins.unknown_name_error("method", name, available())
    return plugins.load(GROUP, name)()  # type: ignore[no-any-return]
