"""The reconstruction that the network learns from, on a grid that is large enough for its cubes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from tomoprior import methods
from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.methods.base import Method
from tomoprior.methods.learning.tiles import mirror_indices
from tomoprior.projector import Projector

#: Voxels reconstructed above and below the requested grid: the wedge smears the specimen along z, beyond the grid.
ABOVE = 8
#: Most values that a percentile is computed from.
SAMPLED = 2**20


@dataclass(frozen=True)
class WorkingGrid:
    """The requested grid, padded at either end of z and x, and with mirrored rows behind the last row of y.

    Attributes
    ----------
    geometry
        That of the padded grid, without the mirrored rows.
    z, x
        Voxels of padding at either end.
    y
        Mirrored rows.
    """

    geometry: Geometry
    z: int
    y: int
    x: int

    @classmethod
    def for_cubes(cls, geometry: Geometry, edge: int) -> WorkingGrid:
        """Return the grid for cubes of ``edge`` voxels."""
        nz, ny, nx = geometry.shape
        z, x = max(ABOVE, math.ceil((edge - nz) / 2)), max(0, math.ceil((edge - nx) / 2))
        return cls(geometry.padded(x).with_thickness(nz + 2 * z), z, max(0, edge - ny), x)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the volume that is worked on, ``(nz, ny, nx)``."""
        nz, ny, nx = self.geometry.shape
        return nz, ny + self.y, nx

    def add_rows(self, volume: torch.Tensor) -> torch.Tensor:
        """Return a padded volume with the mirrored rows behind it: a mirror image in y has the same wedge."""
        if not self.y:
            return volume
        ny = volume.shape[1]
        return volume[:, mirror_indices(ny, ny + self.y, volume.device)]

    def crop(self, volume: torch.Tensor) -> torch.Tensor:
        """Return a volume on the requested grid."""
        nz, ny, nx = self.shape
        return volume[self.z : nz - self.z, : ny - self.y, self.x : nx - self.x].contiguous()

    def pad(self, volume: torch.Tensor, value: float | None) -> torch.Tensor:
        """Return a volume of the requested grid padded along z and x: with a value, or None for that of the nearest voxel."""
        pads = (self.x, self.x, 0, 0, self.z, self.z)
        if value is not None:
            return torch.nn.functional.pad(volume, pads, value=value)
        return torch.nn.functional.pad(volume[None, None], pads, mode="replicate")[0, 0]


def start_method(name: str) -> Method:
    """Return the method of the first reconstruction; raises UnknownNameError."""
    return methods.get(name)


def reconstruct(
    name: str,
    projections: torch.Tensor,
    projector: Projector,
    grid: WorkingGrid,
    weights: torch.Tensor | None,
    mask: torch.Tensor | None,
) -> torch.Tensor:
    """Return the volume of method ``name`` on the padded grid, ``grid.geometry.shape``; errors of the method propagate."""
    method = start_method(name)
    nz, ny, nx = projector.domain_shape
    inside = None if mask is None else grid.pad(mask.expand(nz, ny, nx), 1.0)  # padding stays free
    result = method.reconstruct(
        projections, projector.with_geometry(grid.geometry), method.Settings(), weights=weights, mask=inside
    )
    return result.volume  # type: ignore[no-any-return]


def measure_scale(volume: torch.Tensor, percentile: float) -> tuple[float, float]:
    """Return the offset and the unit with which the values of a volume get a standard deviation of about one.

    The offset is the mean. The unit is the standard deviation of a normal distribution with the same range between the two
    percentiles, or that of the values if it is larger: most of a volume may be empty.

    Raises
    ------
    InputError
        If all values are the same: nothing can be learned from them.
    """
    stride = -(-volume.numel() // SAMPLED)
    values = volume.reshape(-1)[::stride].double()
    low, high = torch.quantile(values, torch.tensor([percentile / 100, 1 - percentile / 100]).to(values))
    normal = 2 * float(torch.special.ndtri(torch.tensor(1 - percentile / 100, dtype=torch.float64)))
    unit = max(float(high - low) / normal, float(values.std(correction=0)))
    if not unit > 1e-12 * float(values.abs().max()):
        raise InputError("all values of the reconstruction to start from are the same: there is nothing to learn from it")
    return float(values.mean()), unit
