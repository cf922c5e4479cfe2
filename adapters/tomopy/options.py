"""What a TomoPy user can ask for: the method, its settings and where to run, from ``options`` and from keyword arguments."""

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

#: Keywords that ``tomopy.recon`` itself adds or that belong to its own algorithms; those of ours never mean them.
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


@dataclass(frozen=True)
class Request:
    """What is to be done, checked."""

    method: Method
    settings: Settings
    device: str = "auto"
    kind: Kind = "linear"
    backend: str = "auto"
    center_convention: str = "edge"
    independent_chunks: bool = False


def parse(options: Mapping[str, Any], keywords: Mapping[str, Any]) -> Request:
    """A request from ``options`` (all of it must be known) and further keywords (what is not known is warned of).

    ``options`` is never changed: TomoPy shares one dictionary between its threads and its caller.

    Raises
    ------
    SettingsError, UnknownNameError, MissingDependencyError
        If ``options`` has no method, or something that the method does not know.
    """
    wanted = dict(options)
    if "method" not in wanted:
        raise SettingsError('options needs a method, for example options={"method": "sirt", "num_iter": 50}')
    method = methods.get(str(wanted.pop("method")))
    control = {
        name: wanted.pop(name)
        for name in ("device", "kind", "backend", "center_convention", "independent_chunks")
        if name in wanted
    }
    known = {name for fields in method.Settings.fields_by_group().values() for name in fields}
    strays = []
    for name, value in keywords.items():
        if name in wanted or name in control:
            continue
        if name in known and name not in _TOMOPY_ONLY:
            wanted[name] = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
        else:
            strays.append(name)
    if strays:
        # three frames up: parse, algorithm or recon, the caller (TomoPy, or the script)
        warnings.warn(f"{method.name} has no use for {', '.join(sorted(strays))}; ignored", UserWarning, stacklevel=3)
    return Request(method, method.Settings.parse(wanted), **control)
