"""A volume that goes on as its mirror image."""

from __future__ import annotations

import torch


def mirrored(n: int, length: int, device: torch.device, before: int = 0) -> torch.Tensor:
    """Indices of ``length`` voxels, ``before`` of them ahead of an axis of ``n`` that goes on as its mirror image."""
    at = (torch.arange(length, device=device) - before) % (2 * n)
    return torch.where(at < n, at, 2 * n - 1 - at)
