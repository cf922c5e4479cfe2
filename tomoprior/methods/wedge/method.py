"""The method ``wedge``: a network that fills in the missing wedge, trained on the volume itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.errors import InputError, Interrupted
from tomoprior.formats.writing import check_target
from tomoprior.geometry import Geometry
from tomoprior.methods import arguments
from tomoprior.methods.base import ALLOCATOR_BYTES, SlabMethod, Tunable
from tomoprior.methods.wedge import cost, rotations, start, training
from tomoprior.methods.wedge.cubes import MARGIN, Cubes
from tomoprior.methods.wedge.network import new_network
from tomoprior.methods.wedge.region import Region
from tomoprior.methods.wedge.result import FilledReconstruction, FillTask, to_reconstruction
from tomoprior.methods.wedge.settings import WedgeSettings
from tomoprior.methods.wedge.state import Checkpoint, Trained, load_network
from tomoprior.progress import Progress
from tomoprior.projector import FilteredProjector, Projector
from tomoprior.reconstruction import Reconstruction
from tomoprior.storage.digest import compute_digest

#: Settings that do not change what a training learns.
NOT_LEARNED = {"checkpoint", "network", "keep_measured"}


class Wedge:
    """``x + missing(f(measured(x)) - x)`` for a reconstruction x; f learns from rotated pieces of x, again without the wedge.

    Liu et al., Nat. Commun. 13 (2022) 6482 (IsoNet). Two things differ from the paper by default: only the frequencies of a
    rotated piece that a tilt measured count as target, and the measured frequencies are kept in the result. Noise in the start
    can hide the structure to learn: an initial volume from ``wbp`` with a smooth filter then helps.
    """

    name = "wedge"
    summary = "missing-wedge network: a 3-D U-Net trained on the volume itself fills in the missing wedge"
    citation = "Liu et al., Nat. Commun. 13 (2022) 6482 (IsoNet)"
    Settings = WedgeSettings
    tunable: ClassVar[Tunable] = {"start": ("wbp", "sirt")}
    couples_slices = True
    uses_projector = True
    takes_transfer = True

    def halo(self, geometry: Geometry, settings: WedgeSettings) -> int:
        """Return the rows that a slab sees beyond its own: half a cube, and the halo of the method for the start."""
        starter = start.start_method(settings.choose_start())
        return settings.cube_size // 2 + (starter.halo(geometry, starter.Settings()) if isinstance(starter, SlabMethod) else 0)

    def settings_from_pilot(self, result: Reconstruction, settings: WedgeSettings, folder: Path) -> dict[str, Any]:
        """Return the trained network as a setting: only one slab trains."""
        if settings.network is not None or not isinstance(result, FilledReconstruction) or result.network is None:
            return {}
        path = folder / "network.safetensors"
        result.network.save(path)
        return {"network": str(path), "checkpoint": None}

    def settings_for_halves(self, settings: WedgeSettings) -> WedgeSettings | None:
        """Return settings with ``halves``; None if a network is given."""
        return None if settings.network is not None else settings.model_copy(update={"halves": True})

    def settings_from_halves(self, result: Reconstruction, settings: WedgeSettings, folder: Path) -> dict[str, Any]:
        """Return the trained network as a setting, for each half by itself, with the same start."""
        together = settings.model_copy(update={"halves": True})
        own = {"halves": False, "keep_measured": together.keeps_measured, "start": together.choose_start()}
        return {**self.settings_from_pilot(result, settings, folder), **own}

    def memory(self, geometry: Geometry, settings: WedgeSettings) -> int:
        """Return the bytes at the peak, without the projections and the prepared projector."""
        return ALLOCATOR_BYTES + cost.memory(geometry, settings)

    def cost_in_pairs(self, geometry: Geometry, settings: WedgeSettings) -> float:
        """Return the cost in pairs of a forward projection and an adjoint."""
        return cost.cost_in_pairs(geometry, settings)

    def reconstruct(
        self,
        projections: torch.Tensor,
        projector: Projector,
        settings: WedgeSettings,
        *,
        weights: torch.Tensor | None = None,
        initial: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        progress: Progress | None = None,
    ) -> Reconstruction:
        """See ``tomoprior.methods.Method.reconstruct``; an initial volume replaces the one of method ``start``.

        Weights are passed to that method; a tilt whose weights are all zero counts as not measured. Outside the mask the result
        is zero; cubes are centred inside the mask.
        """
        arguments.check_rays(self, projector.geometry)
        seed = int(torch.randint(2**62, (), dtype=torch.int64))
        arguments.check_projections(projections, projector)
        w = arguments.expand_weights(weights, projector)
        inside = arguments.expand_mask(mask, projector)
        arguments.check_initial(initial, projector)
        if initial is not None and settings.halves:
            raise InputError("wedge with halves makes a start from each of them; leave the initial volume out")
        if initial is not None and w is not None:
            raise InputError("wedge passes weights to the method of its start, and an initial volume replaces it; give one")
        angles = _weighted_angles(projector.geometry, w)
        informative = rotations.informative_rotations(angles)
        if not informative:
            raise InputError("the tilts cover all directions: there is no missing wedge to fill in; use another method")
        if np.ptp(angles) == 0:
            raise InputError("wedge needs tilts in more than one direction: it cannot learn from a single one")
        path = None if settings.checkpoint is None else Path(settings.checkpoint)
        if path is not None:
            check_target(path, overwrite=True)
        region = Region(angles, projections.device)
        trained = None if settings.network is None else load_network(settings.network, region.span)
        with torch.no_grad():
            task = _task(projections, projector, settings, trained, region, weights, initial, inside)
            if trained is not None:
                network = trained.network(projections.device)
                volume = training.fill(
                    network, task.volume, task.region, settings.tile_size, keep_measured=settings.keeps_measured
                )
                if progress is not None:
                    progress(1, 1, {})
                return to_reconstruction(task, projections, projector, settings, volume, trained, None)
            about = {
                **settings.model_dump(exclude=NOT_LEARNED),
                "geometry": projector.geometry.digest(),
                "data": compute_digest(projections, weights, initial, mask),
                "seed": seed,
            }
            return _train(task, projections, projector, settings, informative, Checkpoint(path, about), seed, progress)


def _weighted_angles(geometry: Geometry, w: torch.Tensor | None) -> NDArray[np.float64]:
    """Return the angles of the tilts that have any weight."""
    if w is None:
        return geometry.angles
    return np.asarray(geometry.angles[(w > 0).flatten(1).any(1).cpu().numpy()])


def _task(
    projections: torch.Tensor,
    projector: Projector,
    settings: WedgeSettings,
    trained: Trained | None,
    region: Region,
    weights: torch.Tensor | None,
    initial: torch.Tensor | None,
    mask: torch.Tensor | None,
) -> FillTask:
    grid = start.WorkingGrid.for_cubes(projector.geometry, settings.cube_size + 2 * MARGIN)
    filtered = isinstance(projector, FilteredProjector)
    name = settings.choose_start(transfer=filtered)
    if filtered and initial is None and not getattr(start.start_method(name), "takes_transfer", False):
        raise InputError(
            f"start={name} cannot use a transfer function; use sirt, sart, cgls, tikhonov, tv or cn, or flip phases"
        )
    if initial is not None:
        volume = grid.pad(initial if mask is None else initial * mask, None)
    elif settings.halves:
        parts = _split_halves(projections, projector, grid, weights)
        volume = torch.stack([start.reconstruct(name, half, A, part, w, mask) for half, A, part, w in parts])
    else:
        volume = start.reconstruct(name, projections, projector, grid, weights, mask)
    if trained is None:
        offset, unit = start.measure_scale(volume if volume.ndim == 3 else volume.mean(0), settings.percentile)
    else:
        offset, unit = trained.offset, trained.unit
    volume = grid.add_rows(volume) if volume.ndim == 3 else torch.stack([grid.add_rows(half) for half in volume])
    return FillTask(grid, region, volume.sub(offset).div_(unit), offset, unit, mask)


def _split_halves(
    projections: torch.Tensor, projector: Projector, grid: start.WorkingGrid, weights: torch.Tensor | None
) -> list[tuple[torch.Tensor, Projector, start.WorkingGrid, torch.Tensor | None]]:
    """Return projections, projector, grid and weights of both halves; raises InputError if they have different tilts."""
    n, angles = len(projections) // 2, projector.geometry.angles
    if len(projections) % 2 or not np.array_equal(angles[:n], angles[n:]):
        raise InputError("halves: the series needs every tilt twice, first all images of one half, then all of the other")
    parts = []
    for views in (np.arange(n), np.arange(n, 2 * n)):
        at = slice(int(views[0]), int(views[-1]) + 1)
        part = replace(grid, geometry=grid.geometry.select(views))
        parts.append((projections[at], projector.subset(views), part, None if weights is None else weights[at]))
    return parts


def _train(
    task: FillTask,
    projections: torch.Tensor,
    projector: Projector,
    settings: WedgeSettings,
    informative: list[rotations.Rotation],
    checkpoint: Checkpoint,
    seed: int,
    progress: Progress | None,
) -> Reconstruction:
    nz, _, nx = projector.domain_shape
    inside = torch.ones(nz, 1, nx) if task.mask is None else task.mask
    # centres lie within the requested grid; the mirrored rows count as its last row
    cubes = Cubes(task.region, informative, settings.cube_size, task.grid.pad(inside, 0.0))
    network = new_network(settings.width, settings.depth, seed, task.volume.device)
    state = checkpoint.resume(training.initial_state(network, task.volume))

    def trained(state: training.State) -> Trained:
        return Trained(state.chosen, settings.width, settings.depth, task.offset, task.unit, task.region.span)

    run = training.Training(
        task.volume, task.region, cubes, network, state, settings, seed,
        save=lambda state: checkpoint.save(state, trained(state)), progress=progress,
    )  # fmt: skip

    def result() -> Reconstruction:
        volume = run.result(keep_measured=settings.keeps_measured)
        return to_reconstruction(task, projections, projector, settings, volume, trained(state), state)

    try:
        run.run()
    except KeyboardInterrupt:
        if not state.rounds:
            raise
        raise Interrupted(result()) from None
    return result()
