"""The U-Net inside the denoiser: 3-D, or the same network slice by slice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

#: Fine voxels per voxel of the network's finest level along z and x (and y in 3-D).
SHUFFLE = 2


@dataclass(frozen=True)
class Shape:
    """How large a U-Net is.

    Attributes
    ----------
    widths
        Channels per level, from half the resolution down; multiples of 16 run fastest.
    blocks
        Residual blocks per level on the way down, and as many on the way up.
    embedding
        Channels of the embedding of noise level and conditions.
    flat
        True for a network that sees one slice at a time: no kernel reaches along y.
    """

    widths: tuple[int, ...] = (32, 96, 128)
    blocks: tuple[int, ...] = (1, 2, 1)
    embedding: int = 128
    flat: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a header."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Shape:
        """Inverse of ``to_dict``."""
        known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**known)


class Block(nn.Module):
    """A residual block whose inner channels the embedding scales and shifts; it starts as the identity.

    There is no normalisation: statistics over space would differ from tile to tile.
    """

    def __init__(self, width: int, shape: Shape) -> None:
        super().__init__()
        kernel = (3, 1, 3) if shape.flat else (3, 3, 3)
        around = (1, 0, 1) if shape.flat else (1, 1, 1)
        self.first = nn.Conv3d(width, width, kernel, padding=around)
        self.film = nn.Linear(shape.embedding, 2 * width)
        self.second = nn.Conv3d(width, width, kernel, padding=around)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor, emb: torch.Tensor) -> torch.Tensor:
        """``x`` is ``(batch, width, z, y, x)``, ``emb`` ``(batch, embedding)``."""
        h = self.first(F.silu(x))
        gain, shift = self.film(emb)[:, :, None, None, None].chunk(2, dim=1)
        h = torch.addcmul(shift + h, h, gain)
        out: torch.Tensor = x + self.second(F.silu(h))
        return out


class UNet(nn.Module):
    """From ``channels`` inputs on the voxel grid and ``features`` numbers to one output on the voxel grid.

    The finest level stands at half the resolution: 2 x 2 x 2 voxels become channels, which loses nothing.
    """

    def __init__(self, channels: int, features: int, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.step = (2, 1, 2) if shape.flat else (2, 2, 2)
        group = self.step[0] * self.step[1] * self.step[2]
        kernel, around = ((3, 1, 3), (1, 0, 1)) if shape.flat else ((3, 3, 3), (1, 1, 1))
        widths = shape.widths
        self.embed = nn.Sequential(
            nn.Linear(features, shape.embedding), nn.SiLU(), nn.Linear(shape.embedding, shape.embedding), nn.SiLU()
        )
        self.enter = nn.Conv3d(channels * group, widths[0], kernel, padding=around)
        self.down = nn.ModuleList(
            nn.ModuleList(Block(w, shape) for _ in range(n)) for w, n in zip(widths, shape.blocks, strict=True)
        )
        self.up = nn.ModuleList(
            nn.ModuleList(Block(w, shape) for _ in range(n)) for w, n in zip(widths, shape.blocks, strict=True)
        )
        self.narrower = nn.ModuleList(nn.Conv3d(a, b, 1) for a, b in pairwise(widths))
        self.wider = nn.ModuleList(nn.Conv3d(b, a, 1) for a, b in pairwise(widths))
        self.leave = nn.Conv3d(widths[0], group, kernel, padding=around)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    @property
    def multiple(self) -> tuple[int, int, int]:
        """What a tile's edges must be multiples of, along z, y, x."""
        whole = 2 ** len(self.shape.widths)
        return (whole, 1 if self.shape.flat else whole, whole)

    def forward(self, x: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """``(batch, channels, z, y, x)`` and ``(batch, features)`` to ``(batch, 1, z, y, x)``."""
        emb = self.embed(features)
        h = self.enter(_fold(x, self.step))
        kept = []
        for level, blocks in enumerate(self.down):
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, emb)
            if level < len(self.narrower):
                kept.append(h)
                h = self.narrower[level](F.avg_pool3d(h, self.step))
        for level in reversed(range(len(self.up))):
            for block in self.up[level]:  # type: ignore[attr-defined]
                h = block(h, emb)
            if level > 0:
                h = kept.pop() + _grown(self.wider[level - 1](h), self.step)
        return _unfold(self.leave(F.silu(h)), self.step)


def _fold(x: torch.Tensor, step: tuple[int, int, int]) -> torch.Tensor:
    """Neighbouring voxels into channels."""
    b, c, z, y, w = x.shape
    i, j, k = step
    x = x.reshape(b, c, z // i, i, y // j, j, w // k, k).permute(0, 2, 4, 6, 1, 3, 5, 7)
    return x.reshape(b, z // i, y // j, w // k, c * i * j * k).permute(0, 4, 1, 2, 3)


def _unfold(x: torch.Tensor, step: tuple[int, int, int]) -> torch.Tensor:
    """Inverse of ``_fold`` for one channel."""
    b, _, z, y, w = x.shape
    i, j, k = step
    x = x.permute(0, 2, 3, 4, 1).reshape(b, 1, z, y, w, i, j, k)
    return x.permute(0, 1, 2, 5, 3, 6, 4, 7).reshape(b, 1, z * i, y * j, w * k)


def _grown(x: torch.Tensor, step: tuple[int, int, int]) -> torch.Tensor:
    return F.interpolate(x, scale_factor=[float(s) for s in step], mode="nearest")
