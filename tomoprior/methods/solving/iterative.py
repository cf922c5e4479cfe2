"""What the iterative methods have in common: settings, the record of residuals, stopping, and the frame around a solver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from tomoprior.geometry import Geometry
from tomoprior.methods.base import ALLOCATOR_BYTES
from tomoprior.methods.solving.problem import Problem, padding, set_up_problem, slices_share_rays
from tomoprior.progress import Progress
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction
from tomoprior.settings import Settings


class IterativeSettings(Settings):
    """Settings that every iterative method has."""

    num_iter: int = Field(100, ge=1, description="Iterations.")
    residual_tolerance: float | None = Field(
        None, ge=0, description="Stop when ||p - A x|| / ||p|| falls to this (the noise level of the data, if known). It is "
        "taken over all slices at hand: a volume made in slabs stops slab by slab, and depends on where they were cut.",
    )  # fmt: skip
    pad: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        "auto",
        description="Voxels added at either end of x while solving, then cropped, for material beyond the field of view. "
        "auto: as far as rays through a slab thinner than wide reach, at most a quarter of the width; 0: an isolated object.",
    )


class BoxSettings(IterativeSettings):
    """With ASTRA's bounds on the values."""

    min_constraint: float | None = Field(None, description="Lower bound of the values; 0 for non-negativity.")
    max_constraint: float | None = Field(None, description="Upper bound of the values.")


def clamp_(x: torch.Tensor, settings: BoxSettings) -> torch.Tensor:
    """Project onto the box, in place."""
    if settings.min_constraint is None and settings.max_constraint is None:
        return x
    return x.clamp_(settings.min_constraint, settings.max_constraint)


class Monitor:
    """Keeps the relative residual of every iterate, reports progress, and says when to stop."""

    def __init__(self, problem: Problem, settings: IterativeSettings, progress: Progress | None) -> None:
        self.scale = problem.scale
        self._settings, self._progress = settings, progress
        self.history: dict[str, list[float]] = {"residual": []}
        self.settled: dict[str, float] = {}  # settings that were left open, as they were chosen

    def stop(self, norm: float, **values: float) -> bool:
        """Record ``||W^(1/2) (p - A x)||`` of the iterate at hand; True if it is good enough."""
        relative = norm / self.scale
        self.history["residual"].append(relative)
        for name, value in values.items():
            self.history.setdefault(name, []).append(value)
        if self._progress is not None:
            self._progress(len(self.history["residual"]), self._settings.num_iter, {"residual": relative, **values})
        tolerance = self._settings.residual_tolerance
        return tolerance is not None and relative <= tolerance


class IterativeMethod(ABC):
    """Frame around a solver: set up, solve, crop. A subclass gives its name, settings, memory and ``solve``."""

    name: str
    summary: str
    citation: str
    Settings: type[IterativeSettings]
    couples_slices = False
    uses_projector = True
    any_rays = True
    #: arrays of the size of the volume and of the projections that are alive at the peak (projections given not counted)
    arrays: tuple[float, float]
    #: the same for what a ray and a voxel take part in (``problem.sums``), where slices differ in their geometry
    own_sums: tuple[float, float] = (0.0, 0.0)
    #: cost of an iteration in pairs of projection and adjoint
    pairs: float = 1.0

    def memory(self, geometry: Geometry, settings: Any) -> int:
        """Bytes at the peak beside the projections given and the prepared projector."""
        nz, ny, nx = geometry.shape
        pad = padding(geometry, settings.pad)
        n, _, nu = geometry.range_shape
        volumes, projections = self.arrays
        if not slices_share_rays(geometry):
            volumes, projections = volumes + self.own_sums[0], projections + self.own_sums[1]
        return ALLOCATOR_BYTES + int(4 * ny * (volumes * nz * (nx + 2 * pad) + projections * n * nu))

    def cost_in_pairs(self, geometry: Geometry, settings: Any) -> float:
        """Pairs of projection and adjoint."""
        pad = padding(geometry, settings.pad)
        return float((settings.num_iter * self.pairs + 2) * (1 + 2 * pad / geometry.shape[2]))

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
        """See ``tomoprior.methods.Method.reconstruct``."""
        with torch.no_grad():
            problem = set_up_problem(
                projections, projector, settings.pad, weights=weights, initial=initial, mask=mask,
                slices_apart=not self.couples_slices,
            )  # fmt: skip
            monitor = Monitor(problem, settings, progress)
            x = self.solve(problem, settings, monitor)
            residual = problem.norm(problem.A(x).sub_(problem.p)) / monitor.scale
        return Reconstruction(
            problem.crop(x),
            projector.geometry,
            history=monitor.history,
            provenance={
                "residual": residual,
                "iterations": len(monitor.history["residual"]),
                "pad": problem.pad,
                "settled": monitor.settled,
                "projector": problem.A.describe(),
            },
        )

    @abstractmethod
    def solve(self, problem: Problem, settings: Any, monitor: Monitor) -> torch.Tensor:
        """The iterations; returns a volume of ``problem.A.domain_shape``."""
