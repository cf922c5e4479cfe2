"""Parts of a product in the threads of the process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from ..thread_pool import thread_pool


def count_threads() -> int:
    """Return the number of threads that torch uses."""
    return torch.get_num_threads()


def run_parts(task: Callable[..., Any], parts: Iterable[tuple[Any, ...]]) -> None:
    """Call ``task`` with the arguments of each part, in threads if there are several; raise the first failure.

    A task may use torch. Its first large operation makes threads of torch in the pool too; OpenMP then counts more threads than
    processors, and they all sleep while they wait. Measured on two cores, this is a gain of a third: threads that wait
    actively, for the next operation of torch, take a core from the product.
    """
    arguments = list(parts)
    if len(arguments) == 1 or count_threads() == 1:
        for values in arguments:
            task(*values)
        return
    for future in [thread_pool().submit(task, *values) for values in arguments]:
        future.result()


def split(count: int, parts: int) -> list[tuple[int, int]]:
    """Return the bounds of ``parts`` even parts of ``count`` things, fewer if there are fewer things."""
    parts = max(1, min(parts, count))
    return [(count * i // parts, count * (i + 1) // parts) for i in range(parts)]
