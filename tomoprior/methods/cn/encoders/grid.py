"""An encoder of feature grids, each twice as fine as the one before, with linear interpolation between their nodes."""

from __future__ import annotations

import itertools
from typing import ClassVar

import torch

from tomoprior.methods.cn.encoders.base import Coordinates, Encoder, uniform

#: Bound of the first values: small, so that the field starts nearly flat, but not zero, where a decoder's gradient vanishes.
INITIAL_BOUND = 1e-2


class Level(torch.nn.Module):
    """One grid: a node every ``spacing`` voxels from the centre of the first voxel; with 1 the nodes are the voxels.

    Outside the outermost voxel centres the features are constant.

    Attributes
    ----------
    nodes
        Number of nodes along z, y, x.
    values
        ``(features, nodes z * x * y)``: y is fastest, as in the volumes of the projector.
    """

    def __init__(self, coordinates: Coordinates, spacing: int, features: int, generator: torch.Generator) -> None:
        super().__init__()
        self.coordinates, self.spacing = coordinates, spacing
        nz, ny, nx = ((n - 1 + spacing - 1) // spacing + 1 for n in coordinates.extent)
        self.nodes = (nz, ny, nx)
        self.values = uniform((features, self.entries), INITIAL_BOUND, generator)

    @property
    def entries(self) -> int:
        """Number of stored values per feature."""
        return self.nodes[0] * self.nodes[1] * self.nodes[2]

    def entry(self, z: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the index at which the values of nodes are stored; broadcasts."""
        _, ny, nx = self.nodes
        return (z * nx + x) * ny + y

    def block(self, low: list[int], high: list[int]) -> torch.Tensor:
        """Return the values of the nodes from ``low`` to ``high`` (exclusive) along z, y, x: ``(features, z, x, y)``."""
        nz, ny, nx = self.nodes
        values = self.values.reshape(-1, nz, nx, ny)
        return values[:, low[0] : high[0], low[2] : high[2], low[1] : high[1]]

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """Return the features of ``(n, 3)`` points: ``(n, features)``."""
        limit = points.new_tensor([n - 1 for n in self.coordinates.extent])
        at = self.coordinates.to_voxels(points).clamp(torch.zeros_like(limit), limit) / self.spacing
        last = torch.tensor(self.nodes, device=points.device) - 1
        first = at.detach().floor().long()
        fraction = at - first
        out: torch.Tensor | None = None
        for corner in itertools.product((0, 1), repeat=3):
            weight = torch.ones_like(fraction[:, 0])
            for axis, upper in enumerate(corner):
                weight = weight * (fraction[:, axis] if upper else 1 - fraction[:, axis])
            # beyond the last node the weight is zero, so that any node is right
            node = torch.minimum(first + first.new_tensor(corner), last)
            part = self.values.index_select(1, self.entry(*node.unbind(1))) * weight
            out = part if out is None else out + part
        assert out is not None
        return out.T

    def on_grid(self, axes: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Return the features on a product grid, ``(features, nz * nx * ny)``.

        Linear interpolation is separable: three products with small matrices instead of eight look-ups a point.
        """
        hats, low, high = [], [], []
        for axis, at in enumerate(axes):
            first, stop, hat = self._hat(at, axis)
            low.append(first)
            high.append(stop)
            hats.append(hat)
        block = self.block(low, high)
        z, y, x = hats
        # in the order that keeps the intermediate results small where y is short
        if y is not None:
            block = block @ y.T
        if x is not None:
            block = torch.matmul(x, block)
        if z is not None:
            block = torch.matmul(z, block.flatten(2)).reshape(len(block), -1, *block.shape[2:])
        return block.flatten(1)

    def _hat(self, at: torch.Tensor, axis: int) -> tuple[int, int, torch.Tensor | None]:
        """Return the first necessary node, the last one + 1, and weights ``(n, nodes)``, or None if they are the identity."""
        start, step = self.coordinates.origin[axis], self.coordinates.step[axis]
        place = ((at.double() - start) / step).clamp(0, self.coordinates.extent[axis] - 1) / self.spacing
        ends = place[[0, -1]].tolist()
        # a centre that rounding puts just before its node must not need the node before
        low, high = int(ends[0] + 1e-6), min(-int(-(ends[1] - 1e-6) // 1) + 1, self.nodes[axis])
        nodes = torch.arange(low, high, device=at.device, dtype=torch.float64)
        hat = (1 - (place[:, None] - nodes).abs()).clamp(min=0)
        same = len(nodes) == len(place) and bool(((place - nodes).abs() < 1e-6).all())
        return low, high, None if same else hat.float()


class Grid(Encoder):
    """Dense feature grids, the finest with one node a voxel, concatenated.

    The multi-resolution encoding of Mueller et al., ACM Trans. Graph. 41 (2022) 102, section 3, without the hashing.
    """

    rate: ClassVar[float] = 10.0

    def __init__(self, coordinates: Coordinates, levels: int, features: int, generator: torch.Generator) -> None:
        super().__init__()
        self.out_features = levels * features
        spacings = [2**k for k in reversed(range(levels))]
        self.levels = torch.nn.ModuleList([self._level(coordinates, spacing, features, generator) for spacing in spacings])

    def _level(self, coordinates: Coordinates, spacing: int, features: int, generator: torch.Generator) -> Level:
        return Level(coordinates, spacing, features, generator)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """See ``Encoder.forward``."""
        return torch.cat([level(points) for level in self.levels], 1)

    def on_grid(self, z: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """See ``Encoder.on_grid``."""
        return torch.cat([level.on_grid((z, y, x)) for level in self.levels]).T  # type: ignore[operator]
