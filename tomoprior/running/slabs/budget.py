"""The memory that slabs may use."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from tomoprior import memory
from tomoprior.projector.backends import choose_device

#: Share of the free memory that slabs may use.
MEMORY_SHARE = 0.8

#: Largest size in bytes of a Python interpreter with torch and its libraries; more memory in a process is the caller's arrays.
INTERPRETER_LIMIT = 512 << 20


def usable_memory(device: str) -> int:
    """Return the bytes that slabs may use together: a share of the free memory of the device."""
    chosen = choose_device(device)
    free: int = torch.cuda.mem_get_info(chosen)[0] if chosen.type == "cuda" else memory.available()
    return int(MEMORY_SHARE * free)


def interpreter_bytes(device: str) -> int:
    """Return the memory of a Python interpreter with its libraries; 0 on a GPU, whose memory it does not use."""
    if choose_device(device).type == "cuda":
        return 0
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return min(resident, INTERPRETER_LIMIT)
