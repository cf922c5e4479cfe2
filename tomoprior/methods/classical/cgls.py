"""CGLS: conjugate gradients on the normal equations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field

from tomoprior.methods.base import Tunable
from tomoprior.methods.solving.iterative import Monitor
from tomoprior.methods.solving.least_squares import solve_least_squares
from tomoprior.methods.solving.problem import Problem
from tomoprior.methods.solving.stopping import EarlyStopMethod, EarlyStopSettings


class CGLSSettings(EarlyStopSettings):
    """Settings of ``cgls``."""

    fast: ClassVar[Mapping[str, Any]] = {"num_iter": 20}

    num_iter: int = Field(
        50,
        ge=1,
        description="Largest number of iterations; held-out tilts can end them earlier. Given alone, it is exact. It is the "
        "only regularisation: noise grows with it.",
    )


class CGLS(EarlyStopMethod):
    """Least squares by conjugate gradients: converges far faster than SIRT, without bounds on the values.

    Every slice has its own steps, as if it were alone (unless tilts are shifted along y, which ties the slices together).

    Hestenes and Stiefel, J. Res. NBS 49 (1952) 409; Björck, Numerical Methods for Least Squares Problems (1996), alg. 7.4.1.
    """

    name = "cgls"
    summary = "CGLS: least squares by conjugate gradients; fast, stop early when there is noise"
    citation = "Hestenes and Stiefel, J. Res. NBS 49 (1952) 409; Björck (1996), Numerical Methods for Least Squares, alg. 7.4.1"
    Settings = CGLSSettings
    tunable: ClassVar[Tunable] = {}  # held-out tilts choose in every run
    peak_arrays = (5.2, 3.0)

    def iterate(self, problem: Problem, settings: CGLSSettings, monitor: Monitor) -> torch.Tensor:
        """Run the iterations."""
        return solve_least_squares(problem, settings.num_iter, monitor)
