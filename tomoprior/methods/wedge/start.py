"""The reconstruction that the network learns from, on a grid that has room for its cubes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from tomoprior import methods
from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.methods.base import Method
from tomoprior.methods.learning.mirrored import mirrored
from tomoprior.projector import Projector

#: Voxels reconstructed above and below the grid that was asked for: the wedge smears along z, and there it goes on.
ABOVE = 8
#: Values that a percentile is taken of, at most.
SAMPLED = 2**20


@dataclass(frozen=True)
class WorkingGrid:
    """The grid that is worked on: voxels more at either end of z and x, and mirrored rows behind the last one of y."""

    geometry: Geometry
    z: int
    y: int
    x: int

    @classmethod
    def of(cls, geometry: Geometry, edge: int) -> WorkingGrid:
        """For cubes of ``edge`` voxels."""
        nz, ny, nx = geometry.shape
        z, x = max(ABOVE, math.ceil((edge - nz) / 2)), max(0, math.ceil((edge - nx) / 2))
        return cls(geometry.padded(x).with_thickness(nz + 2 * z), z, max(0, edge - ny), x)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the volume worked on."""
        nz, ny, nx = self.geometry.shape
        return nz, ny + self.y, nx

    def grown(self, volume: torch.Tensor) -> torch.Tensor:
        """``(nz, ny, nx)`` of the wider grid with the rows behind it: its mirror image in y has the same wedge."""
        if not self.y:
            return volume
        ny = volume.shape[1]
        return volume[:, mirrored(ny, ny + self.y, volume.device)]

    def cropped(self, volume: torch.Tensor) -> torch.Tensor:
        """Back to the grid that was asked for."""
        nz, ny, nx = self.shape
        return volume[self.z : nz - self.z, : ny - self.y, self.x : nx - self.x].contiguous()

    def around(self, volume: torch.Tensor, value: float | None) -> torch.Tensor:
        """A volume of the grid that was asked for on the wider one (y as it is): a value, or None for the nearest voxel's."""
        pads = (self.x, self.x, 0, 0, self.z, self.z)
        if value is not None:
            return torch.nn.functional.pad(volume, pads, value=value)
        return torch.nn.functional.pad(volume[None, None], pads, mode="replicate")[0, 0]


def method(name: str) -> Method:
    """The method that begins; raises UnknownNameError."""
    return methods.get(name)


def reconstruct(
    name: str,
    projections: torch.Tensor,
    projector: Projector,
    room: WorkingGrid,
    weights: torch.Tensor | None,
    mask: torch.Tensor | None,
) -> torch.Tensor:
    """The volume that method ``name`` makes on the wider grid, ``room.geometry.shape``; its own refusals get out."""
    found = method(name)
    nz, ny, nx = projector.domain_shape
    inside = None if mask is None else room.around(mask.expand(nz, ny, nx), 1.0)  # what lies beside it stays free
    result = found.reconstruct(
        projections, projector.with_geometry(room.geometry), found.Settings(), weights=weights, mask=inside
    )
    return result.volume  # type: ignore[no-any-return]


def scale(volume: torch.Tensor, percentile: float) -> tuple[float, float]:
    """Offset and unit of a volume's values, with which the network sees a standard deviation of about one.

    They are the mean and the standard deviation of a normal distribution with the values' range between the two percentiles, or
    the values' own where that is larger: most of a volume may be empty.

    Raises
    ------
    InputError
        For a volume that is the same everywhere, of which nothing can be learned.
    """
    every = -(-volume.numel() // SAMPLED)
    values = volume.reshape(-1)[::every].double()
    low, high = torch.quantile(values, torch.tensor([percentile / 100, 1 - percentile / 100]).to(values))
    normal = 2 * float(torch.special.ndtri(torch.tensor(1 - percentile / 100, dtype=torch.float64)))
    unit = max(float(high - low) / normal, float(values.std(correction=0)))
    if not unit > 1e-12 * float(values.abs().max()):
        raise InputError("the reconstruction to start from is the same everywhere: there is nothing to learn from it")
    return float(values.mean()), unit
