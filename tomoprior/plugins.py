"""Discovery of methods, projector backends, file formats, executors and denoisers through entry points.

A package adds one by an entry in its own ``pyproject.toml``::

    [project.entry-points."tomoprior.methods"]
    mymethod = "mypackage.mymethod:MyMethod"

A list of names imports nothing; ``load`` imports one object.
"""

from __future__ import annotations

import difflib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from tomoprior.errors import MissingDependencyError, UnknownNameError

#: Names that other programs use, for the hint in an error only.
SYNONYMS = {
    **dict.fromkeys(("iterations", "iter", "niter", "n_iter", "n_iterations", "max_iter", "numiter"), "num_iter"),
    **dict.fromkeys(("lambda", "lam", "alpha", "beta", "reg", "weight", "strength"), "reg_par"),
    **dict.fromkeys(("filter", "filtername", "filter_type", "filtertype"), "filter_name"),
    **dict.fromkeys(("min", "minconstraint", "nonnegativity", "positivity"), "min_constraint"),
    **dict.fromkeys(("fbp", "gridrec", "fbp_ramp"), "wbp"),
    **dict.fromkeys(("art", "bart", "osem", "os-sart"), "sart"),
    **dict.fromkeys(("mlem", "em"), "sirt"),
    **dict.fromkeys(("cg", "lsqr", "grad"), "cgls"),
    "tikh": "tikhonov",
}

GROUPS = ("tomoprior.methods", "tomoprior.projectors", "tomoprior.formats", "tomoprior.executors", "tomoprior.denoisers")


@cache
def _entries(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}


def names(group: str) -> list[str]:
    """Return the names registered in ``group``, sorted; imports nothing."""
    return sorted(_entries(group))


@cache
def load(group: str, name: str) -> Any:
    """Import and return the object registered as ``name`` in ``group``.

    Parameters
    ----------
    group
        One of ``GROUPS``.
    name
        Name of the entry point.

    Raises
    ------
    UnknownNameError
        If no installed package registers the name. The message has the most similar names.
    MissingDependencyError
        If the plug-in is installed and a package that it needs is not.
    """
    entry = _entries(group).get(name)
    if entry is None:
        raise unknown_name_error(group.removeprefix("tomoprior.").rstrip("s"), name, names(group))
    try:
        return entry.load()
    except ImportError as error:
        raise MissingDependencyError(f"{name} cannot be loaded ({error}); install the missing package with pip") from error


def unknown_name_error(kind: str, name: str, known: list[str]) -> UnknownNameError:
    """Return the error for an unknown name, with the most similar known names."""
    by_lower_case = {k.lower(): k for k in reversed(known)}
    synonyms = [by_lower_case[n] for n in (name.lower(), SYNONYMS.get(name.lower(), "")) if n in by_lower_case]
    similar = synonyms or difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    every = ", ".join(known) or "none (is tomoprior installed?)"
    hint = f"did you mean {' or '.join(similar)}?" if similar else f"there are {every}"
    return UnknownNameError(f"no {kind} is called {name!r}; {hint}")
