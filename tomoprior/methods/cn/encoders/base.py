"""The interface of encoders, from coordinates to features, and the coordinates themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch


@dataclass(frozen=True)
class Coordinates:
    """The map from the voxels that a network covers to its coordinates.

    Parameters
    ----------
    extent
        Number of voxels along z, y, x.
    kind
        ``isotropic``: from -1 to 1 between the outermost voxel centres along the longest axis, and in proportion along the
        others; ``per-axis``: from 0 to 1 along each axis.
    """

    extent: tuple[int, int, int]
    kind: str = "isotropic"

    @property
    def step(self) -> tuple[float, float, float]:
        """Difference of coordinates between neighbouring voxels, per axis."""
        z, y, x = (1.0 / max(n - 1, 1) for n in self.extent)
        return (z, y, x) if self.kind == "per-axis" else (2 * min(z, y, x),) * 3

    @property
    def origin(self) -> tuple[float, float, float]:
        """Coordinates of the centre of the first voxel, per axis."""
        if self.kind == "per-axis":
            return (0.0, 0.0, 0.0)
        z, y, x = (-0.5 * (n - 1) * self.step[0] for n in self.extent)
        return (z, y, x)

    def of_voxels(self, points: torch.Tensor) -> torch.Tensor:
        """Return the coordinates of ``(..., 3)`` positions in voxels, counted from the centre of the first voxel."""
        return points * points.new_tensor(self.step) + points.new_tensor(self.origin)

    def to_voxels(self, points: torch.Tensor) -> torch.Tensor:
        """Return positions in voxels; the inverse of ``of_voxels``."""
        return (points - points.new_tensor(self.origin)) / points.new_tensor(self.step)


class Encoder(torch.nn.Module, ABC):
    """Turns points into features, from which a small decoder computes a density.

    Attributes
    ----------
    out_features
        Number of features per point.
    sine
        True if the layers of the decoder are sines.
    rate
        Factor of the learning rate for this encoder's weights: few rays pass each value of a grid, so that it needs larger
        steps than a layer that all points share.
    """

    out_features: int
    sine: ClassVar[bool] = False
    rate: ClassVar[float] = 1.0

    @abstractmethod
    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """Return the features of points.

        Parameters
        ----------
        points
            Coordinates z, y, x, shape ``(n, 3)``, float32, on the scale of ``Coordinates``: from -1 to 1 along the longest axis
            of its slab and in proportion along the others, or from 0 to 1 along each axis.

        Returns
        -------
        torch.Tensor
            ``(n, out_features)``, float32, differentiable with respect to the encoder's weights.
        """

    def on_grid(self, z: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the features of all points of a product grid: the same as ``forward``, and faster in some encoders.

        Parameters
        ----------
        z, y, x
            Coordinates along each axis, ``(nz,)``, ``(ny,)`` and ``(nx,)``, float64, increasing.

        Returns
        -------
        torch.Tensor
            ``(nz * nx * ny, out_features)`` with y fastest: the memory order of volumes in projectors.
        """
        grid = torch.stack(torch.meshgrid(z.float(), x.float(), y.float(), indexing="ij"), -1).reshape(-1, 3)
        features: torch.Tensor = self(grid[:, [0, 2, 1]])
        return features


def uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> torch.nn.Parameter:
    """Return a parameter with random values from ``-bound`` to ``bound``, drawn on the CPU; empty on the meta device."""
    values = torch.empty(shape)
    return torch.nn.Parameter(values if values.is_meta else values.uniform_(-bound, bound, generator=generator))


class Layer(torch.nn.Module):
    """A linear layer whose first weights come from a given generator, not from that of torch.

    Parameters
    ----------
    bound
        Bound of the weights; that of the biases is ``1 / sqrt(n_in)``, as in torch.
    """

    def __init__(self, n_in: int, n_out: int, bound: float, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = uniform((n_out, n_in), bound, generator)
        self.bias = uniform((n_out,), n_in**-0.5, generator)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return ``(n, n_out)`` from ``(n, n_in)``."""
        return torch.nn.functional.linear(features, self.weight, self.bias)
