"""Manage the state of torch in a process: its default type, and its threads, which do not survive a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()
#: Number of open blocks in which torch's default is float32, and the default before the first of them.
_blocks = 0
_before = torch.float32
_forked = False


@contextmanager
def float32_by_default() -> Iterator[None]:
    """Make new torch tensors float32 in the block, whatever ``torch.set_default_dtype`` says, and restore it afterwards.

    The default belongs to the process. Where blocks of several threads overlap, the last one restores it.
    """
    global _blocks, _before
    with _lock:
        if _blocks == 0:
            _before = torch.get_default_dtype()
            torch.set_default_dtype(torch.float32)
        _blocks += 1
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1
            if _blocks == 0:
                torch.set_default_dtype(_before)


def most_threads(count: int) -> int:
    """Return ``count``, but 1 in a forked process, where more threads of OpenMP would wait for ever."""
    return 1 if _forked else count


def _after_fork() -> None:
    global _forked
    _forked = True
    torch.set_num_threads(1)


os.register_at_fork(after_in_child=_after_fork)
