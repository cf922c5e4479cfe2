"""How functions of this package are compiled."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numba
from numba import njit


def compile_function(function_or_signature: Callable[..., Any] | str) -> Any:
    """Compile a function that runs without Python's lock; a new process reads it from the user's cache, if that is writable.

    Called with a signature, it returns a decorator that compiles for arguments of these types only.
    """
    if isinstance(function_or_signature, str):
        return lambda function: _compile(function, function_or_signature)
    return _compile(function_or_signature)


def _compile(function: Callable[..., Any], *signature: str) -> Any:
    compiler: Any = njit
    with _cache_of_user():
        try:
            return compiler(*signature, nogil=True, cache=True, error_model="numpy")(function)
        except RuntimeError:  # neither the package's folder nor the user's is writable
            return compiler(*signature, nogil=True, error_model="numpy")(function)


@contextmanager
def _cache_of_user() -> Iterator[None]:
    """Let Numba cache in the user's folder instead of beside the source, unless ``NUMBA_CACHE_DIR`` names another.

    Files beside the source stay when the package is uninstalled, and the folder that holds them then hides an editable
    install of the package. Numba decides about the folder when it decorates a function.
    """
    config: Any = numba.config
    before = config.CACHE_DIR
    if not before:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        config.CACHE_DIR = os.path.join(base, "tomoprior", "numba")
    try:
        yield
    finally:
        config.CACHE_DIR = before
