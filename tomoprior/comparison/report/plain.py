"""A comparison as plain values for JSON, without its volumes, and access to its evidence by path."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tomoprior.comparison.result import Comparison, Entry


def plain(value: Any) -> Any:
    """Return ``value`` for JSON: None for numbers that are not finite, lists for arrays, text for other types."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return [plain(v) for v in value]
    return str(value)


def pick(values: Any, path: str) -> Any:
    """Return the value under ``a.b.c`` in nested mappings, or None."""
    for name in path.split("."):
        values = values.get(name) if isinstance(values, Mapping) else None
    return values


def scalar(entry: Entry, path: str) -> float | None:
    """Return the number under ``path`` in an entry's evidence, or None if it is missing or not finite."""
    value = pick(entry.evidence, path)
    if value is None or isinstance(value, (bool, str, Mapping)) or not np.isscalar(value):
        return None
    number = float(value)  # type: ignore[arg-type]  # a scalar of Python or NumPy
    return number if math.isfinite(number) else None


def numbers(comparison: Comparison) -> dict[str, Any]:
    """Return everything but the volumes, as plain values."""
    planted = comparison.planted
    values: dict[str, Any] = plain(
        {
            "title": comparison.title,
            "geometry": comparison.geometry.to_dict(),
            "summary": comparison.summary,
            "rankings": [dict(vars(r)) for r in comparison.rankings],
            "entries": [_entry(e) for e in comparison.entries],
            "truth": comparison.truth is not None,
            "planted": None if planted is None else dict(vars(planted)),
            "about": comparison.about,
        }
    )
    return values


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "label": entry.label,
        "method": entry.method,
        "settings": entry.settings,
        "status": entry.status,
        "message": entry.message,
        "seconds": entry.seconds,
        "memory": entry.memory,
        "evidence": entry.evidence,
        "settled": entry.settled,
        "notes": entry.notes,
    }
