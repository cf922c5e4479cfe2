"""JSON records from untrusted files: bounded in size and depth, with an error of one line for every fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tomoprior.errors import FormatError, NoSuchFileError
from tomoprior.storage.files import read_at_most
from tomoprior.storage.lazy import one_line

#: Default limit of a record's size in bytes. Records of long runs take a few MiB.
SIZE_LIMIT = 64 * 2**20
#: Limit of nested lists and objects. The records that tomoprior writes have fewer than ten levels.
DEPTH_LIMIT = 64


def load_json(path: Path, limit: int = SIZE_LIMIT) -> dict[str, Any]:
    """Return the JSON object that a file holds.

    Parameters
    ----------
    path
        A regular file.
    limit
        Largest size accepted, in bytes. A larger file is not read.

    Raises
    ------
    NoSuchFileError
        If the file does not exist.
    FormatError
        If it cannot be read, is too large or nested too deeply, is not UTF-8 or not JSON, or holds another type than an
        object. The message is one line and names the file.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError("not a regular file")  # a pipe would wait for a writer
        with path.open("rb") as file:
            content = read_at_most(file, limit + 1)
        if len(content) > limit:
            raise ValueError(f"larger than {limit} bytes")
        return parse_json(content)
    except FileNotFoundError as error:
        raise NoSuchFileError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        raise FormatError(f"{path}: not a JSON record ({one_line(error)})") from error


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
