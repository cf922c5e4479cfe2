"""The method ``wedge``: a network that fills in the missing wedge, trained on the volume itself."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.errors import InputError, Interrupted
from tomoprior.formats.writing import check_target
from tomoprior.geometry import Geometry
from tomoprior.methods import arguments
from tomoprior.methods.base import ALLOCATOR_BYTES, Tunable
from tomoprior.methods.wedge import cost, rotations, start, training
from tomoprior.methods.wedge.cubes import MARGIN, Cubes
from tomoprior.methods.wedge.region import Region
from tomoprior.methods.wedge.result import FilledReconstruction, FillTask, to_reconstruction
from tomoprior.methods.wedge.settings import WedgeSettings
from tomoprior.methods.wedge.state import Trained, load_network, load_training, save_training
from tomoprior.progress import Progress
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction

#: Settings that do not change what a training learns.
BESIDE = {"checkpoint", "network", "keep_measured"}


class Wedge:
    """``x + missing(f(measured(x)) - x)``: x is a reconstruction, f learns from rotated pieces of x, given the wedge again.

    Liu et al., Nat. Commun. 13 (2022) 6482 (IsoNet). Two things differ by default: a rotated piece counts as target only where
    a tilt measured it, and what tilts measured is kept in the result. A start that noise drowns hides what there is to learn:
    an initial volume from ``wbp`` with a smooth filter helps then.
    """

    name = "wedge"
    summary = "missing-wedge network: a 3-D U-Net trained on the volume itself fills in what no tilt measured"
    citation = "Liu et al., Nat. Commun. 13 (2022) 6482 (IsoNet)"
    Settings = WedgeSettings
    tunable: ClassVar[Tunable] = {"start": ("wbp", "sirt")}
    couples_slices = True
    uses_projector = True

    def halo(self, geometry: Geometry, settings: Any) -> int:
        """Rows that a slab of a larger volume sees beyond its own: half a cube, and what the first method needs."""
        begin = start.method(settings.start)
        its = getattr(begin, "halo", None)
        return int(settings.cube_size // 2 + (its(geometry, begin.Settings()) if its is not None else 0))

    def settings_from_pilot(self, result: Reconstruction, settings: WedgeSettings, folder: Path) -> dict[str, Any]:
        """The network: other slabs train none."""
        if settings.network is not None or not isinstance(result, FilledReconstruction) or result.network is None:
            return {}
        path = folder / "network.safetensors"
        result.network.save(path)
        return {"network": str(path), "checkpoint": None}

    def memory(self, geometry: Geometry, settings: Any) -> int:
        """Bytes at the peak beside the projections given and the prepared projector."""
        return ALLOCATOR_BYTES + cost.memory(geometry, settings)

    def cost_in_pairs(self, geometry: Geometry, settings: Any) -> float:
        """Cost in pairs of a forward projection and an adjoint."""
        return cost.cost_in_pairs(geometry, settings)

    def reconstruct(
        self,
        projections: torch.Tensor,
        projector: Projector,
        settings: Any,
        *,
        weights: torch.Tensor | None = None,
        initial: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        progress: Progress | None = None,
    ) -> Reconstruction:
        """See ``tomoprior.methods.Method.reconstruct``; an initial volume is filled in instead of one by ``start``.

        Weights go to that method, and a tilt whose weights are all zero measured nothing. Outside the mask the result is zero
        and no cube has its middle there.
        """
        arguments.check_rays(self, projector.geometry)
        seed = int(torch.randint(2**62, (), dtype=torch.int64))
        arguments.check_projections(projections, projector)
        w = arguments.expand_weights(weights, projector)
        inside = arguments.expand_mask(mask, projector)
        arguments.check_initial(initial, projector)
        if initial is not None and w is not None:
            raise InputError("wedge takes weights for the method that it starts with, and an initial volume takes its place")
        angles = _counting(projector.geometry, w)
        found = rotations.informative_rotations(angles)
        if not found:
            raise InputError("the tilts cover all directions: there is no missing wedge to fill in; use another method")
        if np.ptp(angles) == 0:
            raise InputError("wedge needs tilts in more than one direction: of a single one nothing can be learned")
        if settings.checkpoint is not None:
            check_target(Path(settings.checkpoint), overwrite=True)
        span = float(angles.min()), float(angles.max())
        known = None if settings.network is None else load_network(settings.network, span)
        with torch.no_grad():
            task = _task(projections, projector, settings, known, Region(angles, projections.device), weights, initial, inside)
            if known is not None:
                network = known.network(projections.device)
                volume = training.fill(network, task.volume, task.region, settings, keep_measured=settings.keep_measured)
                if progress is not None:
                    progress(1, 1, {})
                return to_reconstruction(task, projections, projector, settings, volume, known, None)
            about = {
                **settings.model_dump(exclude=BESIDE),
                "geometry": projector.geometry.digest(),
                "data": _digest(projections, weights, initial, mask),
                "seed": seed,
            }
            return _train(task, projections, projector, settings, found, about, progress)


def _counting(geometry: Geometry, w: torch.Tensor | None) -> NDArray[np.float64]:
    """Angles of the tilts that have any weight."""
    if w is None:
        return geometry.angles
    return np.asarray(geometry.angles[(w > 0).flatten(1).any(1).cpu().numpy()])


def _task(
    projections: torch.Tensor,
    projector: Projector,
    settings: WedgeSettings,
    known: Trained | None,
    region: Region,
    weights: torch.Tensor | None,
    initial: torch.Tensor | None,
    mask: torch.Tensor | None,
) -> FillTask:
    room = start.WorkingGrid.of(projector.geometry, settings.cube_size + 2 * MARGIN)
    if initial is not None:
        volume = room.around(initial if mask is None else initial * mask, None)
    else:
        volume = start.reconstruct(settings.start, projections, projector, room, weights, mask)
    offset, unit = start.scale(volume, settings.percentile) if known is None else (known.offset, known.unit)
    return FillTask(room, region, room.grown(volume).sub(offset).div_(unit), offset, unit, mask)


def _train(
    task: FillTask,
    projections: torch.Tensor,
    projector: Projector,
    settings: WedgeSettings,
    found: list[rotations.Rotation],
    about: dict[str, Any],
    progress: Progress | None,
) -> Reconstruction:
    nz, _, nx = projector.domain_shape
    inside = torch.ones(nz, 1, nx) if task.mask is None else task.mask
    # only within the grid that was asked for; in y the rows behind the last one count as it
    cubes = Cubes(task.region, found, settings.cube_size, task.room.around(inside, 0.0))
    network = training.new_network(settings.width, settings.levels, about["seed"], task.volume.device)
    state = training.initial_state(network, task.volume)
    path = None if settings.checkpoint is None else Path(settings.checkpoint)
    if path is not None and path.exists():
        state = load_training(path, about, state)
    angles = task.region.angles
    span = float(angles.min()), float(angles.max())

    def trained() -> Trained:
        return Trained(run.state.average, settings.width, settings.levels, task.offset, task.unit, span)

    def save(state: training.State) -> None:
        if path is not None:
            save_training(path, state, trained(), about)

    run = training.Training(
        task.volume, task.region, cubes, network, state, settings, about["seed"], save=save, progress=progress
    )

    def result() -> Reconstruction:
        volume = run.state.filled
        if not settings.keep_measured:
            volume = training.fill(run.averaged(), task.volume, task.region, settings, keep_measured=False)
        return to_reconstruction(task, projections, projector, settings, volume, trained(), run.state)

    try:
        run.run()
    except KeyboardInterrupt:
        if not run.state.rounds:
            raise
        raise Interrupted(result()) from None
    return result()


def _digest(*arrays: torch.Tensor | None) -> str:
    """SHA-256 of what was given."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(b"none" if array is None else array.detach().cpu().contiguous().numpy().data)
    return found.hexdigest()
