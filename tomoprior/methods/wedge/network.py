"""The network that fills the wedge in."""

from __future__ import annotations

import torch
from torch import nn

from tomoprior.methods.learning.unet import Shape, UNet, build_seeded


class FillNetwork(nn.Module):
    """A map from a volume with a missing wedge to one without: the input plus a correction, which starts at zero.

    Parameters
    ----------
    width
        Channels of the finest level; each further level has twice as many.
    depth
        Levels, from half the resolution down.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        ones = (1,) * depth
        widths = tuple(width * 2**level for level in range(depth))
        self.unet = UNet(1, 0, Shape(widths, ones, blocks_up=(*ones[1:], 0)))

    @property
    def multiple(self) -> int:
        """Number that divides the edges of a cube."""
        return self.unet.multiple[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``(batch, z, y, x)`` for the same shape."""
        out: torch.Tensor = x + self.unet(x[:, None])[:, 0]
        return out


def new_network(width: int, depth: int, seed: int, device: torch.device) -> FillNetwork:
    """Return a network before its first step, the same for the same seed on any device."""
    return build_seeded(lambda: FillNetwork(width, depth), seed, device)
