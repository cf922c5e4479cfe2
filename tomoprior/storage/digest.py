"""SHA-256 digests of plain values, arrays and files: the same content gives the same digest in every process."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np


def compute_digest(*parts: Any) -> str:
    """Return the SHA-256 digest of all parts, one after the other, in hexadecimal.

    An array is hashed by its values alone. Where its shape or type can differ, give them as a part of their own.

    Parameters
    ----------
    parts
        ``None``, ``bytes``, NumPy arrays and torch tensors (C order), or plain values, which are hashed as JSON with
        sorted keys.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    TypeError
        For a value that JSON cannot hold.

    Examples
    --------
    >>> from tomoprior.storage.digest import compute_digest
    >>> compute_digest({"b": 1, "a": 2}) == compute_digest({"a": 2, "b": 1})
    True
    """
    state = hashlib.sha256()
    for part in parts:
        state.update(_to_bytes(part))
    return state.hexdigest()


def compute_file_digest(path: Path) -> str:
    """Return the SHA-256 digest of a file's content, in hexadecimal, read in pieces; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _to_bytes(part: Any) -> Any:
    if part is None:
        return b"none"
    if isinstance(part, bytes):
        return part
    if hasattr(part, "detach"):  # a torch tensor; this module does not import torch
        part = part.detach().cpu().numpy()
    if isinstance(part, (np.ndarray, np.generic)):
        return np.ascontiguousarray(part).data
    return json.dumps(part, sort_keys=True).encode()
