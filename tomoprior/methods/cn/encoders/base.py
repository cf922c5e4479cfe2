"""The interface of encoders, from coordinates to features, and the coordinates themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch


@dataclass(frozen=True)
class Coordinates:
    """How a network sees the voxels that it covers.

    Parameters
    ----------
    extent
        Their number along z, y, x.
    kind
        ``isotropic``: from -1 to 1 between the outermost voxels' middles along the longest axis, and in proportion along the
        others; ``per-axis``: from 0 to 1 along each.
    """

    extent: tuple[int, int, int]
    kind: str = "isotropic"

    @property
    def step(self) -> tuple[float, float, float]:
        """From one voxel to the next, per axis."""
        z, y, x = (1.0 / max(n - 1, 1) for n in self.extent)
        return (z, y, x) if self.kind == "per-axis" else (2 * min(z, y, x),) * 3

    @property
    def origin(self) -> tuple[float, float, float]:
        """Where the first voxel's middle lies, per axis."""
        if self.kind == "per-axis":
            return (0.0, 0.0, 0.0)
        z, y, x = (-0.5 * (n - 1) * self.step[0] for n in self.extent)
        return (z, y, x)

    def of_voxels(self, points: torch.Tensor) -> torch.Tensor:
        """Coordinates of ``(..., 3)`` positions in voxels, counted from the first voxel's middle."""
        return points * points.new_tensor(self.step) + points.new_tensor(self.origin)

    def to_voxels(self, points: torch.Tensor) -> torch.Tensor:
        """Inverse of ``of_voxels``."""
        return (points - points.new_tensor(self.origin)) / points.new_tensor(self.step)


class Encoder(torch.nn.Module, ABC):
    """Turns points into features that a small decoder can make a density of.

    Attributes
    ----------
    out_features
        Features per point.
    sine
        True if the decoder's layers go on with sines.
    rate
        What the learning rate is multiplied by for this encoder's weights: values on a grid are each seen by few rays, and
        move in larger steps than a layer that all points share.
    """

    out_features: int
    sine: ClassVar[bool] = False
    rate: ClassVar[float] = 1.0

    @abstractmethod
    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """Features of points.

        Parameters
        ----------
        points
            ``(n, 3)``, float32: z, y, x as the network sees them (``CNSettings.coordinates``): from -1 to 1 along the
            longest axis of its slab and in proportion along the others, or from 0 to 1 along each.

        Returns
        -------
        torch.Tensor
            ``(n, out_features)``, float32, differentiable with respect to the encoder's weights.
        """

    def on_grid(self, z: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Features of all points of a product grid: the same as ``forward``, and faster where an encoder knows how.

        Parameters
        ----------
        z, y, x
            Coordinates along each axis, ``(nz,)``, ``(ny,)`` and ``(nx,)``, float64, increasing.

        Returns
        -------
        torch.Tensor
            ``(nz * nx * ny, out_features)`` with y fastest: the order in which projectors keep volumes.
        """
        grid = torch.stack(torch.meshgrid(z.float(), x.float(), y.float(), indexing="ij"), -1).reshape(-1, 3)
        features: torch.Tensor = self(grid[:, [0, 2, 1]])
        return features


def uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> torch.nn.Parameter:
    """A parameter with values between ``-bound`` and ``bound``; drawn on the CPU, and not at all on the meta device."""
    values = torch.empty(shape)
    return torch.nn.Parameter(values if values.is_meta else values.uniform_(-bound, bound, generator=generator))


class Layer(torch.nn.Module):
    """A linear layer whose first weights come from a generator of one's own, not from torch's.

    Parameters
    ----------
    bound
        Of the weights; the biases' is ``1 / sqrt(n_in)``, as torch's own.
    """

    def __init__(self, n_in: int, n_out: int, bound: float, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = uniform((n_out, n_in), bound, generator)
        self.bias = uniform((n_out,), n_in**-0.5, generator)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``(n, n_in)`` to ``(n, n_out)``."""
        return torch.nn.functional.linear(features, self.weight, self.bias)
