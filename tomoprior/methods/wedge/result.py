"""What a filled-in volume is given back as: on the grid that was asked for, in the values' own unit, with its record."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tomoprior.methods.wedge import start, training
from tomoprior.methods.wedge.region import Region
from tomoprior.methods.wedge.settings import WedgeSettings
from tomoprior.methods.wedge.state import Trained
from tomoprior.methods.wedge.statement import INFERRED, statement
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction


@dataclass(frozen=True, eq=False)
class FilledReconstruction(Reconstruction):
    """A reconstruction with the network that filled it in.

    Attributes
    ----------
    network
        Ready for use, and to be saved.
    """

    network: Trained | None = None


@dataclass(frozen=True)
class FillTask:
    """What a call works on: the volume with the wedge missing in the network's unit, and where it came from."""

    room: start.WorkingGrid
    region: Region
    volume: torch.Tensor
    offset: float
    unit: float
    mask: torch.Tensor | None


def to_reconstruction(
    task: FillTask,
    projections: torch.Tensor,
    projector: Projector,
    settings: WedgeSettings,
    filled: torch.Tensor,
    network: Trained,
    state: training.State | None,
) -> FilledReconstruction:
    """The result: ``filled`` is normalised, on the grid that was worked on; ``state`` is None where nothing was trained."""
    power = task.region.missing_share(filled)

    def asked_for(volume: torch.Tensor) -> torch.Tensor:
        values = task.room.cropped(volume).mul_(task.unit).add_(task.offset)
        return values if task.mask is None else values.mul_(task.mask)

    def residual(volume: torch.Tensor) -> float:
        return float((projector(volume) - projections).norm() / projections.norm().clamp(min=1e-30))

    volume = asked_for(filled)
    low, high = (float(v) for v in np.rad2deg([task.region.angles.min(), task.region.angles.max()]))
    return FilledReconstruction(
        volume,
        projector.geometry,
        history={} if state is None else {"loss": list(state.losses)},
        provenance={
            "residual": residual(volume),
            "residual_start": residual(asked_for(task.volume)),
            "rounds": [] if state is None else [dict(r) for r in state.rounds],
            "steps": 0 if state is None else state.step,
            "measured_degrees": [low, high],
            "inferred_power": power,
            "scale": {"offset": task.offset, "unit": task.unit},
            "statement": statement(
                task.region.angles, power, trained_here=state is not None, keep_measured=settings.keep_measured
            ),
            "inferred": INFERRED,
            "projector": projector.describe(),
        },
        network=network,
    )
