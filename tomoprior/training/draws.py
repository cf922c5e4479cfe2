"""Training examples: a simulated series with its condition and truth, or a block of tissue without a series."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from tomoprior.geometry import Geometry
from tomoprior.methods.diffusion.denoiser import N_SERIES_NUMBERS, N_SPECIMEN_NUMBERS, Condition
from tomoprior.methods.learning.state import check_arrays
from tomoprior.training.settings import TrainingSettings

#: Columns of a training example are used if at least this share of the tilts sees them.
SEEN = 0.3


@dataclass(frozen=True, eq=False)
class Draw:
    """A training example, larger than a tile.

    Attributes
    ----------
    truth
        ``u`` on the padded grid, ``(nz, ny, nx)`` float16; at most as high as a tile.
    condition
        The denoiser's knowledge of the series; its volumes are float16.
    has_series
        False for a block of tissue: ``linear`` and ``coverage`` are zero.
    """

    truth: torch.Tensor
    condition: Condition
    has_series: bool = True

    @cached_property
    def seen(self) -> tuple[int, int]:
        """First column that ``SEEN`` of the tilts see, and one past the last; all columns without a series."""
        nx = self.truth.shape[2]
        seen = (self.condition.coverage.float().mean(0) > SEEN).cpu().numpy()
        columns = np.flatnonzero(seen if self.has_series else np.ones(nx, bool))
        return (int(columns[0]), int(columns[-1]) + 1) if len(columns) else (0, nx)

    def to_dict(self) -> dict[str, torch.Tensor]:
        """Return the arrays, for a state's file."""
        c = self.condition
        values = {"truth": self.truth, "linear": c.linear, "inside": c.inside, "coverage": c.coverage, "numbers": c.numbers}
        return {**values, "told": torch.tensor(self.has_series)}

    @classmethod
    def from_dict(cls, arrays: dict[str, torch.Tensor], settings: TrainingSettings, device: torch.device) -> Draw:
        """Invert ``to_dict`` for a file that is not trusted.

        Raises
        ------
        ValueError
            If the arrays do not fit each other, or a tile of the settings does not fit into them.
        """
        shape = tuple(arrays["truth"].shape) if "truth" in arrays else ()
        tile = settings.tile_size
        if len(shape) != 3 or not 0 < shape[0] <= settings.height or min(shape[1:]) < tile:
            raise ValueError(f"a draw of shape {shape} does not fit tiles of {settings.height} x {tile} x {tile} voxels")
        volume = torch.empty(shape, dtype=torch.float16, device="meta")
        numbers = torch.empty(N_SERIES_NUMBERS + N_SPECIMEN_NUMBERS, device="meta")
        flag = torch.empty((), dtype=torch.bool, device="meta")
        coverage = volume[:, 0]
        if "coverage" in arrays and arrays["coverage"].dtype == torch.float32:  # that of a series; a block's is float16
            coverage = coverage.float()
        expected = {"truth": volume, "linear": volume, "inside": volume, "coverage": coverage, "numbers": numbers}
        check_arrays({**expected, "told": flag}, arrays)
        a = {k: v.to(device) for k, v in arrays.items()}
        return cls(a["truth"], Condition(a["linear"], a["inside"], a["coverage"], a["numbers"]), bool(arrays["told"]))


@dataclass(frozen=True, eq=False)
class Specimen:
    """A section before it is recorded: on fine voxels, and on those of the grid, which is padded at either end of x.

    Attributes
    ----------
    fine
        Density on voxels ``SUPERSAMPLE`` times finer, with a margin on every side.
    truth, inside
        Density, and share inside the section, on the padded grid.
    low, high
        Mean heights of the faces, in voxels of the grid.
    """

    fine: torch.Tensor
    truth: torch.Tensor
    inside: torch.Tensor
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Group:
    """Series that share angles, grid and voxel size, so that their estimates are computed together.

    Attributes
    ----------
    projections
        ``(batch, n_angles, ny, nu)``.
    specimens
        One per series.
    """

    geometry: Geometry
    projections: torch.Tensor
    specimens: list[Specimen]
