"""The threads of the CPU projectors: one pool in a process for each number of threads that torch has used."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import torch

_pools: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()
# a forked child has the pool without its threads, and would wait for them without end
os.register_at_fork(after_in_child=_pools.clear)


def thread_pool() -> ThreadPoolExecutor:
    """Return the pool of this process with as many threads as torch uses."""
    width = torch.get_num_threads()
    with _lock:
        if width not in _pools:
            _pools[width] = ThreadPoolExecutor(width, thread_name_prefix="projector")
        return _pools[width]
