"""JSON from untrusted files: bounded in depth, with an error of one line for every fault."""

from __future__ import annotations

import json
from typing import Any

#: Limit of nested lists and objects. The records that tomoprior writes have fewer than ten levels.
DEPTH_LIMIT = 64


def parse_json(content: bytes | str, *, unique: bool = False) -> dict[str, Any]:
    """Return the object that JSON text holds.

    Parameters
    ----------
    content
        The text, as UTF-8 where it is ``bytes``.
    unique
        Refuse an object with the same name twice; without this the last value wins, as in ``json``.

    Raises
    ------
    ValueError
        For text that is not UTF-8, not JSON, nested more than ``DEPTH_LIMIT`` levels, or no object.
    """
    text = content.decode("utf-8") if isinstance(content, bytes) else content
    try:
        value = json.loads(text, object_pairs_hook=_to_unique_dict if unique else None)
    except RecursionError:
        raise ValueError(f"nested more than {DEPTH_LIMIT} levels") from None
    level, depth = [value], 0
    while level := [parent for parent in level if isinstance(parent, (dict, list))]:
        depth += 1
        if depth > DEPTH_LIMIT:
            raise ValueError(f"nested more than {DEPTH_LIMIT} levels")
        level = [child for parent in level for child in (parent.values() if isinstance(parent, dict) else parent)]
    if not isinstance(value, dict):
        raise ValueError(f"holds a {type(value).__name__} and not an object")
    return value


def _to_unique_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("the same name stands twice in an object")
    return values
