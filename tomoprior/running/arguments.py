"""The method, its settings and the seed of a run, from what the caller gives."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tomoprior import methods
from tomoprior.errors import InputError, SettingsError
from tomoprior.methods.base import Method
from tomoprior.series import TiltSeries


def resolve_method(method: str | Method, settings: Any, values: Mapping[str, Any], *, fast: bool = False) -> tuple[Method, Any]:
    """Return the method object and its checked settings.

    Parameters
    ----------
    method
        A name, or a method object.
    settings
        The method's settings object, or None.
    values
        Settings one by one; they replace those of ``settings``.
    fast
        Take the method's fast settings where ``values`` gives none.

    Raises
    ------
    UnknownNameError, SettingsError
        If no such method is installed, a setting does not fit it, or ``fast`` comes with a settings object.
    """
    resolved = methods.get(method) if isinstance(method, str) else method
    if settings is None:
        return resolved, resolved.Settings.parse({**(resolved.Settings.fast if fast else {}), **values})
    if fast:
        raise SettingsError("fast sets settings that are not given, and a settings object gives all; give one of the two")
    if not isinstance(settings, resolved.Settings):
        raise SettingsError(f"settings must be {resolved.Settings.__name__}, got {type(settings).__name__}")
    return resolved, resolved.Settings.parse({**settings.model_dump(), **values}) if values else settings


def to_series(series: Any) -> TiltSeries:
    """Return a tilt series, read from a file if ``series`` is a path; raises InputError for anything else."""
    if isinstance(series, str | Path):
        from tomoprior.formats import read

        return read(series)
    if not isinstance(series, TiltSeries):
        raise InputError(f"a TiltSeries or the path of a file is needed, got {type(series).__name__}")
    return series


def to_volume(volume: Any) -> Any:
    """Return a volume, read from a file if ``volume`` is a path; anything else unchanged."""
    if not isinstance(volume, str | Path):
        return volume
    from tomoprior.formats import read_volume

    return read_volume(volume).volume


def resolve_seed(settings: Any, seed: int) -> tuple[Any, int]:
    """Return settings and seed that agree, for methods that have a setting ``seed`` too.

    A setting of None becomes the seed of the call. A seed of 0 in the call, its default, leaves the setting as it is.

    Raises
    ------
    SettingsError
        If the two differ, or the seed is not a whole number that the method takes.
    """
    try:
        seed = operator.index(seed)
    except TypeError:
        raise SettingsError(f"seed must be a whole number, got {seed!r}") from None
    own = getattr(settings, "seed", seed)
    if own is None:
        return type(settings).parse({**settings.model_dump(), "seed": seed}), seed
    if seed not in (0, own):
        raise SettingsError(f"the seed is given twice: {seed}, and {own} as a setting of the method; give one of them")
    return settings, int(own)
