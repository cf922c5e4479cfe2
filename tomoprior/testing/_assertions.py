"""Assertions of the checks, which also work with ``python -O``."""

from __future__ import annotations

from collections.abc import Callable

import torch

from tomoprior.errors import InputError

#: Relative difference between two ways to the same float32 result, by rounding.
ROUNDING = 1e-5


def require_close(result: torch.Tensor, expected: torch.Tensor, tol: float, message: str) -> None:
    """Check the shape and ``||result - expected|| <= tol ||expected||``, which is false for values that are not finite."""
    shapes = f"{tuple(result.shape)} instead of {tuple(expected.shape)}"
    require(result.shape == expected.shape, f"{message}: shape {shapes}")
    error = float((result.double() - expected.double()).norm())
    scale = float(expected.double().norm())
    require(error <= tol * scale, f"{message}: relative difference {error / max(scale, 1e-300):.3g}")


def require_refusal(action: Callable[[], object], argument: str) -> None:
    """Check that ``action`` raises InputError with a message of one line."""
    try:
        action()
    except InputError as error:
        require(bool(str(error)) and "\n" not in str(error), f"the error for {argument} is not one line: {error}")
    except Exception as error:
        raise AssertionError(f"{argument} raises {type(error).__name__} instead of InputError") from error
    else:
        raise AssertionError(f"{argument} is accepted")


def require(condition: bool, message: str) -> None:
    """Raise AssertionError with ``message`` unless ``condition`` holds, with ``python -O`` too."""
    if not condition:
        raise AssertionError(message)
