"""A volume that goes on as its mirror image."""

from __future__ import annotations

import torch


def mirrored(n: int, length: int, device: torch.device) -> torch.Tensor:
    """Where ``length`` voxels are found on an axis of ``n`` that goes on beyond its end as its mirror image: indices."""
    at = torch.arange(length, device=device) % (2 * n)
    return torch.where(at < n, at, 2 * n - 1 - at)
