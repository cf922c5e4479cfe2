"""How functions of this package are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compile_function(function_or_signature: Callable[..., Any] | str) -> Any:
    """Compile a function that runs without Python's lock; a new process reads it from Numba's cache, if that is writable.

    Called with a signature, it returns a decorator that compiles for arguments of these types only.
    """
    if isinstance(function_or_signature, str):
        return lambda function: _compile(function, function_or_signature)
    return _compile(function_or_signature)


def _compile(function: Callable[..., Any], *signature: str) -> Any:
    compiler: Any = njit
    try:
        return compiler(*signature, nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # neither the package's folder nor the user's is writable
        return compiler(*signature, nogil=True, error_model="numpy")(function)
