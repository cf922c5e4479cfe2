"""Timing two things side by side, so that a noisy machine is noisy for both."""

from __future__ import annotations

import time
from collections.abc import Callable


def best(*functions: Callable[[], object], repeat: int = 5) -> list[float]:
    """Shortest time in seconds of each function over ``repeat`` rounds in turn, after one round to warm up."""
    times = [float("inf")] * len(functions)
    for round_ in range(repeat + 1):
        for i, function in enumerate(functions):
            started = time.perf_counter()
            function()
            if round_:
                times[i] = min(times[i], time.perf_counter() - started)
    return times
