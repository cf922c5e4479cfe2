"""The request of a TomoPy user: method, settings and device, from ``options`` and from keyword arguments."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tomoprior import methods
from tomoprior.errors import SettingsError
from tomoprior.methods import Method, Settings
from tomoprior.projector.backends import Kind

#: Keywords that ``tomopy.recon`` adds or that belong to its own algorithms; they are never settings of our methods.
_TOMOPY_ONLY = {
    "accelerated",
    "pool_size",
    "interpolation",
    "grid_size",
    "block_size",
    "filter_par",
    "reg_data",
    "num_block",
    "ind_block",
}


#: Settings of TomoPy's direct methods, which a script may pass to any algorithm.
_GRIDREC = {"filter_name", "num_iter", "reg_par"}

#: Names in ``options`` that say how to run a method and are no settings of it.
CONTROL = ("device", "kind", "backend", "seed", "threads", "center_convention", "independent_chunks")


@dataclass(frozen=True)
class Request:
    """A method with its checked settings, and how to run it."""

    method: Method
    settings: Settings
    device: str = "auto"
    kind: Kind = "linear"
    backend: str = "auto"
    seed: int = 0
    threads: int | None = None
    center_convention: str = "edge"
    independent_chunks: bool = False


def parse(options: Mapping[str, Any], keywords: Mapping[str, Any], *, strict: bool = False) -> Request:
    """Make a request from ``options``, whose names must all be known, and keywords, whose unknown names only give a warning.

    ``options`` is never changed: TomoPy shares one dictionary between its threads and its caller. Methods that work slice by
    slice take their fast settings where none is given: TomoPy hands over chunks of slices, and each chunk would choose its own.

    Parameters
    ----------
    strict
        Refuse unknown keywords, as ``tomopy.recon`` does, except those that only TomoPy's own algorithms have.

    Raises
    ------
    SettingsError, UnknownNameError, MissingDependencyError
        If ``options`` has no method, or a name or value that does not fit the method.
    """
    wanted, keywords = dict(options), dict(keywords)
    named = keywords.pop("method", None)  # of functools.partial: TomoPy passes options={} over the options of a partial
    if named is not None:
        wanted.setdefault("method", named)
    if "method" not in wanted:
        raise SettingsError('options needs a method, for example options={"method": "sirt", "num_iter": 50}')
    method = methods.get(str(wanted.pop("method")))
    control = {name: wanted.pop(name) for name in CONTROL if name in wanted}
    known = {name for fields in method.Settings.fields_by_group().values() for name in fields}
    unknown = []
    for name, value in keywords.items():
        if name in wanted or name in control:
            continue
        if name in known and name not in _TOMOPY_ONLY:
            wanted[name] = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
        else:
            unknown.append(name)
    if strict:  # the method's own error names the setting that is meant
        wanted |= {name: keywords[name] for name in unknown if name not in _TOMOPY_ONLY | _GRIDREC}
        unknown = [name for name in unknown if name not in wanted]
    if unknown:
        # three frames up: parse, algorithm or recon, the caller (TomoPy, or the script)
        warnings.warn(f"{method.name} does not know {', '.join(sorted(unknown))}; ignored", UserWarning, stacklevel=3)
    fixed = {} if method.couples_slices else method.Settings.fast
    return Request(method, method.Settings.parse({**fixed, **wanted}), **control)
