"""Choose the number of iterations by held-out tilts, for methods that fit the noise when they run too long."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator

from tomoprior.geometry import Geometry
from tomoprior.methods.solving.holding_out import choose_simplest, hold_out_tilts, prediction_squares, reason_against
from tomoprior.methods.solving.iterative import IterativeMethod, IterativeSettings, Monitor
from tomoprior.methods.solving.padding import resolve_padding
from tomoprior.methods.solving.problem import Problem, select_tilts
from tomoprior.progress import Progress

#: The search ends at this multiple of the best iteration so far, plus ``MIN_WAIT`` iterations: held-out errors fall smoothly.
WAIT, MIN_WAIT = 1.5, 3


class EarlyStopSettings(IterativeSettings):
    """Iterative settings with a choice of the number of iterations.

    Attributes
    ----------
    plain
        Values that close all open settings if the user gives ``num_iter``: the published iteration, without choices.
    """

    plain: ClassVar[Mapping[str, Any]] = {"stop": None}

    stop: Literal["held-out"] | None = Field(
        "held-out",
        description="held-out: iterate without every fifth tilt first; then use all tilts, for as many iterations as "
        "predict these tilts best; sart and cgls: the fewest that are not clearly worse (at most twice the time of "
        "num_iter). none: exactly num_iter iterations. Where num_iter is given and stop is not, stop is none.",
    )

    @model_validator(mode="before")
    @classmethod
    def _take_a_number_literally(cls, values: Any) -> Any:
        """Close the settings in ``plain`` where the user gives ``num_iter`` and leaves ``stop`` out."""
        if isinstance(values, dict) and "num_iter" in values and "stop" not in values:
            return {**cls.plain, **values}
        return values


class HeldOutMonitor(Monitor):
    """Monitor that records the iterate that predicts held-out tilts best, and stops when later ones are worse.

    Attributes
    ----------
    best, error
        Number of that iterate, and its error relative to the held-out tilts.
    squares
        Squared errors of every iterate, one per held-out tilt.
    """

    def __init__(
        self, train: Problem, test: Problem, settings: IterativeSettings, progress: Progress | None, first: int
    ) -> None:
        super().__init__(train, settings, progress)
        self.total = 2 * settings.num_iter
        self.best, self.error = first, math.inf
        self.squares: list[NDArray[np.float64]] = []
        self._first = self._iterate = first
        self._train, self._test = train, test

    def stop(self, norm: float, **values: float) -> bool:
        """Record the iterate and its error; return True if the best one lies far enough back."""
        prediction = self._test.A(self._train.x)
        self.squares.append(prediction_squares(self._test, prediction))
        error = self._test.norm(prediction.sub_(self._test.data)) / self._test.scale
        within_tolerance = super().stop(norm, held_out=error, **values)
        if error < self.error:
            self.best, self.error = self._iterate, error
        self._iterate += 1
        return within_tolerance or self._iterate > WAIT * self.best + MIN_WAIT

    def choose_iterate(self, simplest: bool) -> int:
        """Return the number of iterations to use, at least 1.

        It is that of the best iterate, or with ``simplest`` the fewest that predict held-out tilts not clearly worse.
        """
        return max(1, self._first + choose_simplest(self.squares, self._test.scale**2) if simplest else self.best)


class EarlyStopMethod(IterativeMethod):
    """Base of a method whose iterations can end early. A subclass defines ``iterate`` instead of ``solve``.

    Attributes
    ----------
    first_iterate
        Number of the iterate that the solver reports first: 0 if it reports before an update, 1 if it reports after it.
    takes_simplest
        True: the fewest iterations that predict held-out tilts not clearly worse than the best number does; False: the best.
    """

    first_iterate = 0
    takes_simplest = True

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

    def open_settings(self, settings: Any) -> dict[str, Any]:
        """Return the settings that the method chooses: the number of iterations, if held-out tilts choose it."""
        left = super().open_settings(settings)
        return left if settings.stop is None else {**left, "num_iter": None, "stop": None}

    def solve(self, problem: Problem, settings: Any, monitor: Monitor) -> torch.Tensor:
        """Choose the number of iterations if the settings leave it open, then iterate on all tilts."""
        if settings.stop is not None:
            reason = reason_against(problem)
            if reason is None:
                settings = self.search(problem, settings, monitor)
            else:
                settings = settings.model_copy(update={"num_iter": min(settings.num_iter, type(settings).fast["num_iter"])})
            monitor.settled |= {"num_iter": settings.num_iter, "num_iter_by": reason or "held-out tilts"}
        return self.iterate(problem, settings, monitor)

    def search(self, problem: Problem, settings: Any, monitor: Monitor) -> Any:
        """Return settings with the number of iterations that held-out tilts choose."""
        record = self.hold_out(problem, settings, monitor.progress)
        monitor.continue_after(record)
        return settings.model_copy(update={"num_iter": record.choose_iterate(self.takes_simplest)})

    def hold_out(self, problem: Problem, settings: Any, progress: Progress | None) -> HeldOutMonitor:
        """Iterate without every fifth tilt until the prediction of these tilts gets worse; return the record."""
        tilts = hold_out_tilts(problem)
        train = replace(select_tilts(problem, tilts.keep), x=problem.x.clone())
        record = HeldOutMonitor(train, select_tilts(problem, tilts.out), settings, progress, self.first_iterate)
        self.iterate(train, settings, record)
        return record

    @abstractmethod
    def iterate(self, problem: Problem, settings: Any, monitor: Monitor) -> torch.Tensor:
        """Run ``settings.num_iter`` iterations on ``problem.x`` in place; return it."""
