"""The U-Net of the learned methods: 3-D, or the same network slice by slice; with conditions or without."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn import functional as F

AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


@dataclass(frozen=True)
class Shape:
    """Size and kernels of a U-Net.

    Attributes
    ----------
    widths
        Channels per level, from half the resolution down. Multiples of 16 run fastest.
    blocks
        Residual blocks per level on the way down, and on the way up if ``blocks_up`` is None.
    embedding
        Channels of the embedding of noise level and conditions.
    flat
        True for a network that sees one slice at a time: no kernel reaches along y.
    separable
        True for blocks with separate kernels along y, between those in the x-z plane (as R(2+1)D, Tran et al., CVPR 2018). They
        take little more work than those of a flat network. Ignored if ``flat``.
    blocks_up
        Residual blocks per level on the way up.
    """

    widths: tuple[int, ...] = (32, 96, 128)
    blocks: tuple[int, ...] = (1, 2, 1)
    embedding: int = 128
    flat: bool = False
    separable: bool = False
    blocks_up: tuple[int, ...] | None = None

    @property
    def kernel(self) -> tuple[int, int, int]:
        """Size of a convolution's kernel along z, y, x."""
        return (3, 1, 3) if self.flat or self.separable else (3, 3, 3)

    @property
    def padding(self) -> tuple[int, int, int]:
        """Zeros at either end of each axis with which a convolution keeps the size of a volume."""
        return tuple(n // 2 for n in self.kernel)  # type: ignore[return-value]

    @property
    def step(self) -> tuple[int, int, int]:
        """Voxels that become one, from the voxel grid to the finest level and from each level to the next."""
        return (2, 1, 2) if self.flat or self.separable else (2, 2, 2)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a header; those that are None are left out."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items() if v is not None}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Shape:
        """Invert ``to_dict``."""
        known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**known)


class Block(nn.Module):
    """A residual block whose inner channels the embedding scales and shifts; it starts as the identity.

    There is no normalisation: statistics over space would differ from tile to tile.
    """

    def __init__(self, width: int, level: int, shape: Shape) -> None:
        super().__init__()
        self.first = nn.Conv3d(width, width, shape.kernel, padding=shape.padding)
        self.film = nn.Linear(shape.embedding, 2 * width)
        self.across: nn.Module = nn.Identity()
        if shape.separable and not shape.flat:
            reach = 2**level  # y keeps its voxels, so that a dilated kernel reaches the distant ones
            self.across = nn.Conv3d(width, width, (1, 3, 1), padding=(0, reach, 0), dilation=(1, reach, 1))
            nn.init.dirac_(self.across.weight)
            nn.init.zeros_(self.across.bias)  # type: ignore[arg-type]
        self.second = nn.Conv3d(width, width, shape.kernel, padding=shape.padding)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Return ``(batch, width, z, y, x)`` for the same shape and an embedding ``(batch, embedding)``."""
        h = self.first(F.silu(x))
        gain, shift = self.film(embedding)[:, :, None, None, None].chunk(2, dim=1)
        h = torch.addcmul(shift + h, h, gain)
        out: torch.Tensor = x + self.second(self.across(F.silu(h)))
        return out


class NormalisedBlock(nn.Module):
    """A residual block without conditions; it starts near the identity.

    The channels of each voxel are normalised separately. Without it the learning rate has to be several times lower (measured).
    Statistics over space would differ between cubes and tiles.
    """

    #: Factor on the usual first weights of the second convolution.
    SMALL = 0.2

    def __init__(self, width: int, shape: Shape) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.shift = nn.Parameter(torch.zeros(width))
        self.first = nn.Conv3d(width, width, shape.kernel, padding=shape.padding)
        self.second = nn.Conv3d(width, width, shape.kernel, padding=shape.padding)
        nn.init.normal_(self.second.weight, std=self.SMALL * (2 / (math.prod(shape.kernel) * width)) ** 0.5)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor, _: torch.Tensor | None = None) -> torch.Tensor:
        """Return ``(batch, width, z, y, x)`` for the same shape."""
        h = F.layer_norm(x.permute(0, 2, 3, 4, 1), (x.shape[1],), self.gain, self.shift).permute(0, 4, 1, 2, 3)
        out: torch.Tensor = x + self.second(F.silu(self.first(h)))
        return out


class UNet(nn.Module):
    """A map from ``channels`` volumes on the voxel grid and ``features`` numbers to one volume on the voxel grid.

    The finest level has half the resolution: 2 x 2 x 2 voxels (2 x 1 x 2 where y keeps its own) become channels. This loses
    nothing, and is several times faster than a finest level on the voxel grid.

    Parameters
    ----------
    channels
        Input volumes.
    features
        Numbers that condition the blocks. With 0 the network has no conditions, and its blocks are ``NormalisedBlock``.
    shape
        Size and kernels.
    """

    def __init__(self, channels: int, features: int, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.step = shape.step
        group = math.prod(shape.step)
        widths = shape.widths

        def level_blocks(counts: tuple[int, ...]) -> nn.ModuleList:
            levels = enumerate(zip(widths, counts, strict=True))
            return nn.ModuleList(
                nn.ModuleList(Block(w, level, shape) if features else NormalisedBlock(w, shape) for _ in range(n))
                for level, (w, n) in levels
            )

        # the order of these lines is the order in which the first weights are drawn
        self.embed: nn.Module | None = None
        if features:
            self.embed = nn.Sequential(
                nn.Linear(features, shape.embedding), nn.SiLU(), nn.Linear(shape.embedding, shape.embedding), nn.SiLU()
            )
        self.enter = nn.Conv3d(channels * group, widths[0], shape.kernel, padding=shape.padding)
        self.down = level_blocks(shape.blocks)
        self.up = level_blocks(shape.blocks_up or shape.blocks)
        self.narrower = nn.ModuleList(nn.Conv3d(a, b, 1) for a, b in pairwise(widths))
        self.wider = nn.ModuleList(nn.Conv3d(b, a, 1) for a, b in pairwise(widths))
        self.leave = nn.Conv3d(widths[0], group, shape.kernel, padding=shape.padding)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    @property
    def multiple(self) -> tuple[int, int, int]:
        """Numbers that divide the edges of a tile, along z, y, x."""
        whole = 2 ** len(self.shape.widths)
        return (whole, 1 if self.step[1] == 1 else whole, whole)

    def forward(self, x: torch.Tensor, features: torch.Tensor | None = None) -> torch.Tensor:
        """Return ``(batch, 1, z, y, x)`` for ``(batch, channels, z, y, x)`` and ``(batch, features)``."""
        embedding = None if self.embed is None else self.embed(features)
        h = self.enter(_fold(x, self.step))
        skipped = []
        for level, blocks in enumerate(self.down):
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, embedding)
            if level < len(self.narrower):
                skipped.append(h)
                h = self.narrower[level](F.avg_pool3d(h, self.step))
        for level in reversed(range(len(self.up))):
            for block in self.up[level]:  # type: ignore[attr-defined]
                h = block(h, embedding)
            if level > 0:
                h = skipped.pop() + _upsample(self.wider[level - 1](h), self.step)
        return _unfold(self.leave(F.silu(h)), self.step)


def build_seeded(build: Callable[[], AnyNetwork], seed: int, device: torch.device | str) -> AnyNetwork:
    """Return a new network on a device, with the same weights for the same seed; the global random state does not change.

    Its convolutions have the layout channels last: on the CPU they are 1.5 times faster, and tensor cores need it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = build()
    return network.to(device, memory_format=torch.channels_last_3d)  # type: ignore[no-any-return, call-overload]


def _fold(x: torch.Tensor, step: tuple[int, int, int]) -> torch.Tensor:
    """Turn neighbouring voxels into channels, which are contiguous in memory."""
    b, c, z, y, w = x.shape
    i, j, k = step
    x = x.reshape(b, c, z // i, i, y // j, j, w // k, k).permute(0, 2, 4, 6, 1, 3, 5, 7)
    return x.reshape(b, z // i, y // j, w // k, c * i * j * k).permute(0, 4, 1, 2, 3)


def _unfold(x: torch.Tensor, step: tuple[int, int, int]) -> torch.Tensor:
    """Invert ``_fold`` for one channel."""
    b, _, z, y, w = x.shape
    i, j, k = step
    x = x.permute(0, 2, 3, 4, 1).reshape(b, 1, z, y, w, i, j, k)
    return x.permute(0, 1, 2, 5, 3, 6, 4, 7).reshape(b, 1, z * i, y * j, w * k)


def _upsample(x: torch.Tensor, step: tuple[int, int, int]) -> torch.Tensor:
    return F.interpolate(x, scale_factor=[float(s) for s in step], mode="nearest")
