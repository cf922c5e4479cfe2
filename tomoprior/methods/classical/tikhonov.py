"""Tikhonov regularisation: a quadratic penalty on the values or on their differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field

from tomoprior.geometry import Geometry
from tomoprior.methods.base import Tunable
from tomoprior.methods.solving import gradient, strength
from tomoprior.methods.solving.iterative import IterativeMethod, IterativeSettings, Monitor
from tomoprior.methods.solving.least_squares import ROUNDING
from tomoprior.methods.solving.problem import TINY, Problem

#: Rows beyond its own that a slab needs: all slices share the step lengths of conjugate gradients, for either order.
HALO = 16
#: The strength without a choice, and the unit of the search.
STRENGTH = 1.0


class TikhonovSettings(IterativeSettings):
    """Settings of ``tikhonov``."""

    fast: ClassVar[Mapping[str, Any]] = {"reg_par": STRENGTH}

    num_iter: int = Field(50, ge=1, description="Number of iterations of conjugate gradients.")
    reg_par: Annotated[float, Field(ge=0)] | Literal["held-out"] = Field(
        "held-out",
        description="Strength of the penalty. A^T A has eigenvalues of about n_angles / (pi k) at k cycles per voxel; "
        "detail is damped where reg_par (times (2 pi k)^2 for order 1) exceeds them. held-out: the largest strength "
        "that predicts held-out blocks of four tilts not clearly worse than the best one does, from 1024 down to 1/64, at up "
        "to the cost of 420 more iterations; 1 with fewer than five "
        "tilts, or a range so narrow that all tilts show the same image.",
    )
    order: Literal[0, 1] = Field(1, description="0 penalises values, 1 differences between neighbouring voxels.")


class Tikhonov(IterativeMethod):
    """``min 1/2 ||W^(1/2) (A x - p)||^2 + reg_par / 2 ||L x||^2``, L the identity or the 3-D gradient, by conjugate gradients.

    Tikhonov, Soviet Math. Dokl. 4 (1963) 1035; Hansen, Discrete Inverse Problems (2010), eq. 4.8.
    """

    name = "tikhonov"
    summary = "Tikhonov: least squares with a quadratic penalty on values or differences; linear, smooth"
    citation = "Tikhonov, Soviet Math. Dokl. 4 (1963) 1035; Hansen, Discrete Inverse Problems (2010), eq. 4.8"
    Settings = TikhonovSettings
    tunable: ClassVar[Tunable] = {}  # held-out tilts choose in every run
    couples_slices = True
    peak_arrays = (8.0, 3.0)
    pairs = 1.2

    def halo(self, geometry: Geometry, settings: Any) -> int:
        """Return the rows beyond its own that a slab of a larger volume needs."""
        return HALO

    def solve(self, problem: Problem, settings: TikhonovSettings, monitor: Monitor) -> torch.Tensor:
        """Choose the strength if the settings leave it open, then iterate."""
        rule = STRENGTH / problem.weight_scale
        reg_par, how = strength.resolve_strength(problem, settings, minimise, rule, dual=False, blocks=True)
        if isinstance(settings.reg_par, str):
            monitor.settled |= {"reg_par": reg_par * problem.weight_scale, "reg_par_by": how}
        return minimise(problem, settings, reg_par, monitor)

    def open_settings(self, settings: TikhonovSettings) -> dict[str, Any]:
        """Return the settings that are left to the method: the strength, if it is open."""
        return {"reg_par": None} if isinstance(settings.reg_par, str) else {}

    def memory(self, geometry: Geometry, settings: Any) -> int:
        """Return the bytes at the peak, with a volume and a copy of the projections for the search of the strength."""
        return super().memory(geometry, settings) + strength.search_bytes(geometry, settings)

    def cost_in_pairs(self, geometry: Geometry, settings: Any) -> float:
        """Return the cost in pairs, with the search of the strength."""
        return super().cost_in_pairs(geometry, settings) + strength.search_cost_in_pairs(settings.reg_par) * self.pairs


def minimise(
    problem: Problem,
    settings: TikhonovSettings,
    reg_par: float,
    monitor: Monitor,
    duals: strength.DualVariables | None = None,
) -> torch.Tensor:
    """Iterate on the normal equations from ``problem.x`` in place, and update the residual of the data with them.

    ``duals`` is unused: it completes the form of a solver for ``resolve_strength``.

    ``solve_least_squares`` is another loop: it has step lengths per slice, and computes the residual of the normal
    equations anew. One loop for both would change the bits of one of them.
    """
    A, x = problem.A, problem.x
    r = A(x).neg_().add_(problem.data)
    s = problem.apply_mask_(A.T(problem.apply_weights(r)).sub_(_penalty_gradient(x, settings.order, reg_par)))
    d = s.clone()
    gamma = first = float((s * s).sum())
    for _ in range(settings.num_iter):
        if monitor.stop(problem.norm(r)) or gamma <= ROUNDING * first:
            break
        q = A(d)
        pd = _penalty_gradient(d, settings.order, reg_par)
        curvature = problem.norm(q) ** 2 + float((d * pd).sum())
        alpha = gamma / max(curvature, TINY)
        x.add_(d, alpha=alpha)
        r.sub_(q, alpha=alpha)
        s.sub_(problem.apply_mask_(A.T(problem.apply_weights(q)).add_(pd)), alpha=alpha)
        gamma, previous = float((s * s).sum()), gamma
        d.mul_(gamma / max(previous, TINY)).add_(s)
    return x


def _penalty_gradient(x: torch.Tensor, order: int, reg_par: float) -> torch.Tensor:
    """Return ``reg_par L^T L x``."""
    if order == 0:
        return x * reg_par
    g = gradient.add_forward_(gradient.zero_gradient(x), x, 1.0)
    return gradient.add_adjoint_(torch.zeros_like(x), g, reg_par)
