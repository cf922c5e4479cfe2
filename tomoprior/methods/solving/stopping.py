"""A number of iterations that held-out tilts choose, for methods that fit the noise when they run too long."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from tomoprior.geometry import Geometry
from tomoprior.methods.solving.iterative import IterativeMethod, IterativeSettings, Monitor
from tomoprior.methods.solving.problem import Problem, resolve_padding, select_tilts
from tomoprior.methods.solving.strength import hold_out_tilts
from tomoprior.progress import Progress
from tomoprior.reconstruction import Reconstruction

#: The search ends at this multiple of the best iteration so far, plus ``MIN_WAIT`` iterations: held-out errors fall smoothly.
WAIT, MIN_WAIT = 1.5, 3


class EarlyStopSettings(IterativeSettings):
    """Iterative settings with a choice of the number of iterations."""

    stop: Literal["held-out"] | None = Field(
        None,
        description="held-out: iterate without every fifth tilt first, note the iteration that predicts these tilts best, then "
        "use all tilts for as many iterations (at most twice the time). none: num_iter iterations, the fastest.",
    )


class HeldOutMonitor(Monitor):
    """Notes the iterate that predicts held-out tilts best, and stops when later ones are worse.

    Attributes
    ----------
    best
        Number of that iterate.
    """

    def __init__(
        self, train: Problem, test: Problem, settings: IterativeSettings, progress: Progress | None, first: int
    ) -> None:
        super().__init__(train, settings, progress)
        self.total = 2 * settings.num_iter
        self.best = self._iterate = first
        self._train, self._test, self._error = train, test, math.inf

    def stop(self, norm: float, **values: float) -> bool:
        """Record the iterate and its error; return True if the best one is long past."""
        error = self._test.norm(self._test.A(self._train.x).sub_(self._test.data)) / self._test.scale
        within_tolerance = super().stop(norm, held_out=error, **values)
        if error < self._error:
            self.best, self._error = self._iterate, error
        self._iterate += 1
        return within_tolerance or self._iterate > WAIT * self.best + MIN_WAIT


class EarlyStopMethod(IterativeMethod):
    """Frame of a method whose iterations can end early. A subclass defines ``iterate`` instead of ``solve``.

    Attributes
    ----------
    first_iterate
        Number of the iterate that the solver reports first: 0 if it reports before an update, 1 if after it.
    """

    first_iterate = 0

    def memory(self, geometry: Geometry, settings: Any) -> int:
        """Return the bytes at the peak, with a volume and a copy of the projections for held-out tilts."""
        needed = super().memory(geometry, settings)
        if settings.stop is None:
            return needed
        nz, ny, nx = geometry.shape
        pad = resolve_padding(geometry, settings.pad)
        return needed + 4 * (nz * ny * (nx + 2 * pad) + math.prod(geometry.range_shape))

    def cost_in_pairs(self, geometry: Geometry, settings: Any) -> float:
        """Return the largest cost in pairs of a forward projection and an adjoint."""
        return super().cost_in_pairs(geometry, settings) * (1.0 if settings.stop is None else 2.0)

    def settings_from_pilot(self, result: Reconstruction, settings: Any, folder: Path) -> dict[str, Any]:
        """Return the number of iterations, if held-out tilts choose it."""
        if settings.stop is None:
            return {}
        return {"num_iter": round(result.provenance["settled"]["num_iter"]), "stop": None}

    def solve(self, problem: Problem, settings: Any, monitor: Monitor) -> torch.Tensor:
        """Choose the number of iterations if the settings leave it open, then iterate on all tilts."""
        if settings.stop is not None:
            tilts = hold_out_tilts(problem, "use stop=none")
            train = replace(select_tilts(problem, tilts.keep), x=problem.x.clone())
            test = select_tilts(problem, tilts.out)
            search = HeldOutMonitor(train, test, settings, monitor.progress, self.first_iterate)
            self.iterate(train, settings, search)
            monitor.continue_after(search)
            monitor.settled["num_iter"] = float(max(1, search.best))
            settings = settings.model_copy(update={"num_iter": max(1, search.best)})
        return self.iterate(problem, settings, monitor)

    @abstractmethod
    def iterate(self, problem: Problem, settings: Any, monitor: Monitor) -> torch.Tensor:
        """Run ``settings.num_iter`` iterations on ``problem.x`` in place; return it."""
