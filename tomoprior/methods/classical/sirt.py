"""SIRT: the simultaneous iterative reconstruction technique."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field

from tomoprior.methods.base import Tunable
from tomoprior.methods.solving.iterative import BoxSettings, Monitor, clamp_
from tomoprior.methods.solving.problem import Problem, ray_and_voxel_sums, reciprocal_
from tomoprior.methods.solving.stopping import EarlyStopMethod, EarlyStopSettings


class SIRTSettings(BoxSettings, EarlyStopSettings):
    """Settings of ``sirt``."""

    fast: ClassVar[Mapping[str, Any]] = {"num_iter": 100}
    plain: ClassVar[Mapping[str, Any]] = {"stop": None, "min_constraint": None}

    num_iter: int = Field(
        500, ge=1, description="Largest number of iterations; held-out tilts can end them earlier. Given alone, it is exact."
    )
    relaxation: float = Field(
        1.0, gt=0, lt=2, description="Step length; the iteration converges below 2, and 1 is the published method."
    )


class SIRT(EarlyStopMethod):
    """``x <- x + relaxation C A^T R W (p - A x)`` with R = 1 / (A 1) and C = 1 / (A^T W 1).

    Gilbert, J. Theor. Biol. 36 (1972) 105; in this form Gregor and Benson, IEEE Trans. Med. Imaging 27 (2008) 918, eq. 4.
    The sums include the mask and the weights, so that the step is stable for all of them.
    """

    name = "sirt"
    summary = "SIRT: least squares by simultaneous updates; robust, slow at high frequencies"
    citation = "Gilbert, J. Theor. Biol. 36 (1972) 105; Gregor and Benson, IEEE Trans. Med. Imaging 27 (2008) 918, eq. 4"
    Settings = SIRTSettings
    tunable: ClassVar[Tunable] = {}  # held-out tilts choose in every run
    peak_arrays = (2.0, 2.0)
    takes_simplest = False  # its steps are small: fewer cost more than they save
    peak_sum_arrays = (1.0, 1.0)

    def iterate(self, problem: Problem, settings: SIRTSettings, monitor: Monitor) -> torch.Tensor:
        """Run the iterations."""
        A, x = problem.A, problem.x
        rows, columns = compute_step_sizes(problem)
        rows *= settings.relaxation
        for _ in range(settings.num_iter):
            r = A(x).neg_().add_(problem.data)
            if monitor.stop(problem.norm(r)):
                break
            x.add_(A.T(r.mul_(rows)).mul_(columns))
            clamp_(x, settings)
            problem.apply_mask_(x)
        return x


def compute_step_sizes(problem: Problem) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ``W / (A m)`` and ``m / (A^T W 1)`` for mask m: with them the iteration matrix has no eigenvalue above 1."""
    rows, columns = (reciprocal_(s) for s in ray_and_voxel_sums(problem))
    return rows if problem.weights is None else rows * problem.weights, columns
