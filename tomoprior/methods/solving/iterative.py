"""The common base of the iterative methods: settings, record of residuals, stopping, and the frame around a solver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from tomoprior.geometry import Geometry
from tomoprior.methods.base import ALLOCATOR_BYTES
from tomoprior.methods.solving.padding import resolve_padding
from tomoprior.methods.solving.positivity import resolve_bound
from tomoprior.methods.solving.problem import Problem, set_up_problem, slices_share_rays
from tomoprior.progress import Progress
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction
from tomoprior.settings import Settings, document_settings


class IterativeSettings(Settings):
    """Settings of every iterative method."""

    num_iter: int = Field(100, ge=1, description="Number of iterations.")
    residual_tolerance: float | None = Field(
        None,
        ge=0,
        description="Stop when ||p - A x|| / ||p|| falls to this value (the noise level of the data, if known). The "
        "norms run over all slices together: a volume made in slabs stops slab by slab, and depends on "
        "where they are cut.",
    )
    pad: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        "auto",
        description="Voxels added at either end of x while solving, for material beyond the field of view; they are cropped at "
        "the end. auto: for a section thinner than wide, as far as its rays reach, at most a quarter of the width, or "
        "three quarters where the borders of the projections are not empty; for a thicker grid, as far as the rays beside an "
        "axis off the middle, and a quarter of the detector farther where the borders are not empty. 0: for an isolated "
        "object.",
    )


class BoxSettings(IterativeSettings):
    """Iterative settings with bounds on the values, named as in ASTRA."""

    min_constraint: float | Literal["auto"] | None = Field(
        "auto",
        description="Lower bound of the values per voxel, or none. 0 is non-negativity: the strongest prior for objects that "
        "have no negative values. auto: 0 where the tilts show that: nothing lies significantly below zero, and zero is known "
        "from empty surroundings or from a brightness that grows with the path through a tilted section; else none.",
    )
    max_constraint: float | None = Field(None, description="Upper bound of the values per voxel.")


def clamp_(x: torch.Tensor, settings: BoxSettings) -> torch.Tensor:
    """Clamp ``x`` to the bounds of the settings, in place."""
    if settings.min_constraint is None and settings.max_constraint is None:
        return x
    return x.clamp_(settings.min_constraint, settings.max_constraint)  # type: ignore[arg-type]  # auto is resolved before


class Monitor:
    """Keeps the relative residual of every iterate, reports progress, and decides when to stop.

    Attributes
    ----------
    history
        A list per quantity, a value per iterate.
    settled
        Values that the method chose for settings left open by the user, by the settings' names.
    """

    def __init__(self, problem: Problem, settings: IterativeSettings, progress: Progress | None) -> None:
        self.scale = problem.scale
        self.progress, self.total = progress, settings.num_iter
        self._tolerance = settings.residual_tolerance
        self._done = 0  # iterations of searches before
        self.history: dict[str, list[float]] = {"residual": []}
        self.settled: dict[str, Any] = {}

    def stop(self, norm: float, **values: float) -> bool:
        """Record ``||W^(1/2) (p - A x)||`` of the current iterate; return True if it is within the tolerance."""
        relative = norm / self.scale
        self.history["residual"].append(relative)
        for name, value in values.items():
            self.history.setdefault(name, []).append(value)
        if self.progress is not None:
            iteration = self._done + len(self.history["residual"])
            self.progress(iteration, self.total, {"residual": relative, **values})
        return self._tolerance is not None and relative <= self._tolerance

    def continue_after(self, search: Monitor) -> None:
        """Count iterations from the end of a search on, which has the same total."""
        self._done, self.total = search.total - self.total, search.total


class IterativeMethod(ABC):
    """Frame around a solver: set up the problem, solve it, crop the volume. A subclass defines the attributes and ``solve``.

    Attributes
    ----------
    name, summary, citation, Settings, couples_slices, uses_projector
        As in ``tomoprior.methods.Method``.
    peak_arrays
        Arrays of the size of the volume, and of the projections, that exist at the peak; without the given projections.
    peak_sum_arrays
        The same for the results of ``ray_and_voxel_sums``, which are that large where slices differ in their geometry.
    pairs
        Cost of an iteration, in pairs of a forward projection and an adjoint.
    """

    name: str
    summary: str
    citation: str
    Settings: type[IterativeSettings]
    couples_slices = False
    uses_projector = True
    any_rays = True
    takes_transfer = True
    peak_arrays: tuple[float, float]
    peak_sum_arrays: tuple[float, float] = (0.0, 0.0)
    pairs: float = 1.0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Add the settings to the docstring of a method."""
        super().__init_subclass__(**kwargs)
        if "Settings" in cls.__dict__:
            document_settings(cls)

    def memory(self, geometry: Geometry, settings: Any) -> int:
        """Return the bytes at the peak, without the given projections and the prepared projector."""
        nz, ny, nx = geometry.shape
        pad = resolve_padding(geometry, settings.pad)
        n, _, nu = geometry.range_shape
        volumes, projections = self.peak_arrays
        if not slices_share_rays(geometry):
            volumes, projections = volumes + self.peak_sum_arrays[0], projections + self.peak_sum_arrays[1]
        return ALLOCATOR_BYTES + int(4 * ny * (volumes * nz * (nx + 2 * pad) + projections * n * nu))

    def cost_in_pairs(self, geometry: Geometry, settings: Any) -> float:
        """Return the cost in pairs of a forward projection and an adjoint."""
        pad = resolve_padding(geometry, settings.pad)
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
                independent_slices=not self.couples_slices,
            )  # fmt: skip
            monitor = Monitor(problem, settings, progress)
            x = self.solve(problem, resolve_bound(problem, settings, monitor.settled), monitor)
            residual = problem.norm(problem.A(x).sub_(problem.data)) / monitor.scale
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

    def open_settings(self, settings: Any) -> dict[str, Any]:
        """Return the settings that are left to the method, with the values that close them where those are no choices.

        A name with the value None takes the value that the method chooses, which is in ``settled``.
        """
        return {"min_constraint": None} if getattr(settings, "min_constraint", None) == "auto" else {}

    def leaves_open(self, settings: Any) -> bool:
        """Return True if the method chooses some settings from the tilts, so that slabs need those of a pilot."""
        return bool(self.open_settings(settings))

    def settings_from_pilot(self, result: Reconstruction, settings: Any, folder: Path) -> dict[str, Any]:
        """Return the settings that the pilot's tilts have chosen."""
        settled = result.provenance["settled"]
        return {name: settled.get(name, closed) for name, closed in self.open_settings(settings).items()}

    @abstractmethod
    def solve(self, problem: Problem, settings: Any, monitor: Monitor) -> torch.Tensor:
        """Run the iterations; return a volume of shape ``problem.A.domain_shape``."""
