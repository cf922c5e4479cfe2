"""SART and OS-SIRT: SIRT over ordered subsets of the tilts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from tomoprior.geometry import Geometry
from tomoprior.methods.base import Tunable
from tomoprior.methods.solving.iterative import BoxSettings, Monitor, clamp_
from tomoprior.methods.solving.padding import resolve_padding
from tomoprior.methods.solving.problem import (
    Problem,
    ray_and_voxel_sums,
    reciprocal_,
    select_tilts,
    slices_share_rays,
)
from tomoprior.methods.solving.stopping import EarlyStopMethod, EarlyStopSettings

#: Step lengths for ``relaxation="auto"``: the usual one, and one for noise and inconsistent tilts.
RELAXATION, SMALL_RELAXATION = 0.5, 0.1


class SARTSettings(BoxSettings, EarlyStopSettings):
    """Settings of ``sart``."""

    fast: ClassVar[Mapping[str, Any]] = {"num_iter": 10}
    plain: ClassVar[Mapping[str, Any]] = {"stop": None, "min_constraint": None, "relaxation": RELAXATION}

    num_iter: int = Field(
        50,
        ge=1,
        description="Largest number of passes over all tilts; held-out tilts can end them earlier. Given alone, it is exact.",
    )
    subset_size: int = Field(1, ge=1, description="Tilts per update: 1 is SART, more is ordered-subset SIRT.")
    relaxation: Annotated[float, Field(gt=0, lt=2)] | Literal["auto"] = Field(
        "auto",
        description="Step length, between 0 and 2. Below 1, noise and inconsistent tilts do less harm. auto: 0.5, or 0.1 where "
        "held-out tilts end the passes with 0.5 early and are predicted better with 0.1.",
    )


class SART(EarlyStopMethod):
    """SIRT steps for one subset of tilts after the other, in an order that keeps successive subsets far apart.

    Andersen and Kak, Ultrason. Imaging 6 (1984) 81; ordered subsets as Wang and Jiang, J. X-Ray Sci. Technol. 12 (2004) 169.
    """

    name = "sart"
    summary = "SART: SIRT over single tilts or ordered subsets; fast at first"
    citation = "Andersen and Kak, Ultrason. Imaging 6 (1984) 81; Wang and Jiang, J. X-Ray Sci. Technol. 12 (2004) 169"
    Settings = SARTSettings
    tunable: ClassVar[Tunable] = {}  # held-out tilts choose in every run
    peak_arrays = (1.8, 2.5)
    first_iterate = 1

    def memory(self, geometry: Geometry, settings: Any) -> int:
        """Return the bytes at the peak, with a volume for every subset where slices differ in their rays."""
        needed = super().memory(geometry, settings)
        if slices_share_rays(geometry):
            return needed
        nz, ny, nx = geometry.shape
        pad = resolve_padding(geometry, settings.pad)
        count = len(order_subsets(geometry.angles, settings.subset_size))
        return needed + 4 * (count * nz * ny * (nx + 2 * pad) + math.prod(geometry.range_shape))

    def open_settings(self, settings: SARTSettings) -> dict[str, Any]:
        """Return the settings that are left to the method, with the step length if it is open."""
        return super().open_settings(settings) | ({"relaxation": RELAXATION} if settings.relaxation == "auto" else {})

    def search(self, problem: Problem, settings: SARTSettings, monitor: Monitor) -> SARTSettings:
        """Return settings with the number of passes, and the step length, that predict held-out tilts best."""
        record = self.hold_out(problem, settings, monitor.progress)
        monitor.continue_after(record)
        relaxation = RELAXATION if settings.relaxation == "auto" else settings.relaxation
        if settings.relaxation == "auto" and record.best < settings.num_iter:
            careful = self.hold_out(problem, settings.model_copy(update={"relaxation": SMALL_RELAXATION}), None)
            if careful.error < record.error:
                record, relaxation = careful, SMALL_RELAXATION
        monitor.settled["relaxation"] = relaxation
        return settings.model_copy(update={"num_iter": record.choose_iterate(self.takes_simplest), "relaxation": relaxation})

    def iterate(self, problem: Problem, settings: SARTSettings, monitor: Monitor) -> torch.Tensor:
        """Run the iterations."""
        relaxation = RELAXATION if settings.relaxation == "auto" else settings.relaxation
        x = problem.x
        parts = []
        subsets = order_subsets(problem.A.geometry.angles, settings.subset_size)
        average = ray_and_voxel_sums(problem)[1].div_(len(subsets)) if problem.weights is not None else torch.zeros(1)
        for views in subsets:
            part = select_tilts(problem, views)
            rays, voxels = ray_and_voxel_sums(part)
            if part.weights is not None:
                # within one subset the weights would cancel: a subset of less than average weight moves the volume less
                voxels = torch.maximum(voxels, average)
            rows = reciprocal_(rays) * relaxation
            parts.append((part, rows if part.weights is None else rows * part.weights, reciprocal_(voxels)))
        for _ in range(settings.num_iter):
            squares = 0.0
            for part, rows, columns in parts:
                r = part.A(x).neg_().add_(part.data)
                squares += part.norm(r) ** 2
                x.add_(part.A.T(r.mul_(rows)).mul_(columns))
                clamp_(x, settings)
                problem.apply_mask_(x)
            # as is usual, the residual of a tilt is that at its own update: one after the pass would cost a projection
            if monitor.stop(squares**0.5):
                break
        return x


def order_subsets(angles: NDArray[np.float64], size: int) -> list[NDArray[np.intp]]:
    """Group tilts in subsets of ``size``, each spread over the range, in bit-reversed order of the sorted angles."""
    order = np.argsort(angles, kind="stable")
    count = -(-len(order) // size)
    groups = [order[k::count] for k in range(count)]
    bits = max(1, (count - 1).bit_length())
    turn = [int(f"{i:0{bits}b}"[::-1], 2) for i in range(2**bits)]
    return [np.sort(groups[k]) for k in turn if k < count]
