"""Values from command-line texts: lists of tilts, settings, centres."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from tomoprior.errors import InputError, SettingsError

MAX_VIEW = 1_000_000


def view_list(text: str) -> list[int]:
    """``1,40-45`` as ``[1, 40, 41, 42, 43, 44, 45]``; raises InputError."""
    views: list[int] = []
    for part in text.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise InputError(f"--exclude takes numbers and ranges such as 1,40-45, got {text!r}")
        low, high = int(first), int(last or first)
        if high < low or high > MAX_VIEW:
            raise InputError(f"--exclude: {part} is not a range")
        views += range(low, high + 1)
    return views


def settings(pairs: list[str]) -> dict[str, Any]:
    """``["num_iter=50", "min_constraint=0"]`` as a dictionary; values stay text where they are not JSON."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = name.strip()
        if not equals or not name:
            raise SettingsError(f"--set takes name=value, got {pair!r}")
        if name in values:
            raise SettingsError(f"--set gives {name} twice")
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value.strip()
    return values


def merged(settings: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Settings of ``--set`` together with those of separate options (None if not set); SettingsError if one appears twice."""
    for option, value in options.items():
        if value is not None:
            if option in settings:
                raise SettingsError(f"{option} is set by --{option.replace('_', '-')} and by --set")
            settings[option] = value
    return settings


def seconds(text: str) -> float:
    """``90``, ``90s``, ``5min`` or ``2h`` in seconds; raises SettingsError."""
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*(s|sec|min|m|h)?", text.strip().lower())
    value = float(match[1]) * {"s": 1, "m": 60, "h": 3600}[(match[2] or "s")[0]] if match else 0.0
    if value <= 0:
        raise SettingsError(f"a time is written as 90s, 5min or 2h, got {text!r}")
    return value


def unit(text: str | None) -> str | None:
    """A unit of length by any of its names (``nm``, ``micron``); raises InputError."""
    from tomoprior.units import UNITS, parse_unit

    parsed = None if text is None else parse_unit(text)
    if text is not None and parsed is None:
        raise InputError(f"--unit must be one of {', '.join(UNITS)}, got {text!r}")
    return parsed


def center(text: str | None) -> float | np.ndarray[Any, Any] | None:
    """A number, or a text file with one per slice; raises InputError."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        values = np.array([float(v) for v in Path(text).read_text().split()])
    except (OSError, ValueError):
        raise InputError(f"--center takes a number of pixels or a file with one number per slice, got {text!r}") from None
    if values.size == 0:
        raise InputError(f"{text}: no centre in it")
    return values
