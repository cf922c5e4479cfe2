"""Finds methods, projector backends, file formats and executors through entry points.

A package that wants to add one declares it in its own ``pyproject.toml``::

    [project.entry-points."tomoprior.methods"]
    mymethod = "mypackage.mymethod:MyMethod"

Names are listed without importing anything; an object is imported when it is asked for.
"""

from __future__ import annotations

import difflib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from tomoprior.errors import MissingDependencyError, UnknownNameError

#: What other programs call things; only for the hint in an error.
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

GROUPS = ("tomoprior.methods", "tomoprior.projectors", "tomoprior.formats", "tomoprior.executors")


@cache
def _entries(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}


def names(group: str) -> list[str]:
    """Names registered in ``group``, sorted; nothing is imported."""
    return sorted(_entries(group))


@cache
def load(group: str, name: str) -> Any:
    """The object that ``name`` stands for in ``group``.

    Raises
    ------
    UnknownNameError
        If no installed package registers the name; the nearest names are in the message.
    MissingDependencyError
        If the plug-in is there and a package that it needs is not.
    """
    entry = _entries(group).get(name)
    if entry is None:
        raise unknown_name_error(group.removeprefix("tomoprior.").rstrip("s"), name, names(group))
    try:
        return entry.load()
    except ImportError as error:
        raise MissingDependencyError(f"{name} cannot be loaded ({error}); install what it needs with pip") from error


def unknown_name_error(what: str, name: str, known: list[str]) -> UnknownNameError:
    """The error for a name that does not exist, with the nearest ones that do."""
    lower = {k.lower(): k for k in reversed(known)}
    same = [lower[n] for n in (name.lower(), SYNONYMS.get(name.lower(), "")) if n in lower]
    near = same or difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known) or 'none (is tomoprior installed?)'}"
    return UnknownNameError(f"no {what} is called {name!r}; {hint}")
