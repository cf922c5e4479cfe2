"""The result of filling in: on the requested grid, in the unit of the values, with its record."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tomoprior.methods.wedge.region import Region
from tomoprior.methods.wedge.settings import WedgeSettings
from tomoprior.methods.wedge.start import WorkingGrid
from tomoprior.methods.wedge.state import Trained
from tomoprior.methods.wedge.statement import INFERRED, statement
from tomoprior.methods.wedge.training import State
from tomoprior.projector import FilteredProjector, Projector
from tomoprior.reconstruction import Reconstruction


@dataclass(frozen=True, eq=False)
class FilledReconstruction(Reconstruction):
    """A reconstruction with the network that filled it in.

    Attributes
    ----------
    network
        Ready for use, and for saving.
    """

    network: Trained | None = None


@dataclass(frozen=True)
class FillTask:
    """The volume to fill in.

    Attributes
    ----------
    grid
        The padded grid of the volume.
    region
        Frequencies that the tilts measured.
    volume
        The start with the missing wedge, in the network's unit, ``(nz, ny, nx)``; of halves both, ``(2, nz, ny, nx)``.
    offset, unit
        A value ``v`` of the start is ``(v - offset) / unit`` in ``volume``.
    mask
        1 inside, 0 outside on the requested grid; None for 1 everywhere.
    """

    grid: WorkingGrid
    region: Region
    volume: torch.Tensor
    offset: float
    unit: float
    mask: torch.Tensor | None

    @property
    def start(self) -> torch.Tensor:
        """The start, or the mean of both halves."""
        return self.volume.mean(0) if self.volume.ndim == 4 else self.volume

    def requested(self, volume: torch.Tensor) -> torch.Tensor:
        """Return a volume of the padded grid on the requested one, in the unit of the start."""
        values = self.grid.crop(volume).mul_(self.unit).add_(self.offset)
        return values if self.mask is None else values.mul_(self.mask)


def to_reconstruction(
    task: FillTask,
    projections: torch.Tensor,
    projector: Projector,
    settings: WedgeSettings,
    filled: torch.Tensor,
    network: Trained,
    state: State | None,
) -> FilledReconstruction:
    """Return the result; ``filled`` is normalised, on the padded grid; ``state`` is None without a training."""
    power = task.region.missing_share(filled)

    filtered = isinstance(projector, FilteredProjector)  # a transfer function does not pass an image's mean
    images = projections - projections.mean((1, 2), keepdim=True) if filtered else projections

    def residual(volume: torch.Tensor) -> float:
        return float((projector(volume) - images).norm() / images.norm().clamp(min=1e-30))

    volume = task.requested(filled)
    return FilledReconstruction(
        volume,
        projector.geometry,
        history={} if state is None else {"loss": list(state.losses)},
        provenance={
            "residual": residual(volume),
            "residual_start": residual(task.requested(task.start)),
            "rounds": [] if state is None else [dict(r) for r in state.rounds],
            "steps": 0 if state is None else state.step,
            "measured_degrees": [float(v) for v in np.rad2deg(task.region.span)],
            "inferred_power": power,
            "scale": {"offset": task.offset, "unit": task.unit},
            "statement": statement(
                task.region.angles,
                power,
                trained_here=state is not None,
                keep_measured=settings.keeps_measured,
                halves=settings.halves,
            ),
            "inferred": INFERRED,
            "projector": projector.describe(),
        },
        network=network,
    )
