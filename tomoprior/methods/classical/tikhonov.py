"""Tikhonov regularisation: a quadratic penalty on the values or on their differences."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from tomoprior.geometry import Geometry
from tomoprior.methods.base import Tunable
from tomoprior.methods.solving import gradient
from tomoprior.methods.solving.iterative import IterativeMethod, IterativeSettings, Monitor
from tomoprior.methods.solving.least_squares import ROUNDING
from tomoprior.methods.solving.problem import TINY, Problem

#: Rows beyond its own that a slab needs: all slices share the step lengths of conjugate gradients, for either order.
HALO = 16


class TikhonovSettings(IterativeSettings):
    """Settings of ``tikhonov``."""

    num_iter: int = Field(50, ge=1, description="Number of iterations of conjugate gradients.")
    reg_par: float = Field(
        1.0,
        ge=0,
        description="Strength of the penalty. A^T A has eigenvalues of about n_angles / (pi k) at k cycles per voxel; "
        "detail is damped where reg_par (times (2 pi k)^2 for order 1) exceeds them.",
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
    tunable: ClassVar[Tunable] = {"reg_par": (0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0), "order": (0, 1)}
    couples_slices = True
    peak_arrays = (8.0, 3.0)
    pairs = 1.2

    def halo(self, geometry: Geometry, settings: Any) -> int:
        """Return the rows beyond its own that a slab of a larger volume needs."""
        return HALO

    def solve(self, problem: Problem, settings: TikhonovSettings, monitor: Monitor) -> torch.Tensor:
        """Run the iterations on the normal equations, and update the residual of the data with them.

        ``solve_least_squares`` is another loop: it has step lengths per slice, and computes the residual of the normal
        equations anew. One loop for both would change the bits of one of them.
        """
        A, x = problem.A, problem.x
        settings = settings.model_copy(update={"reg_par": settings.reg_par / problem.weight_scale})
        r = A(x).neg_().add_(problem.data)
        s = problem.apply_mask_(A.T(problem.apply_weights(r)).sub_(_penalty_gradient(x, settings)))
        d = s.clone()
        gamma = first = float((s * s).sum())
        for _ in range(settings.num_iter):
            if monitor.stop(problem.norm(r)) or gamma <= ROUNDING * first:
                break
            q = A(d)
            pd = _penalty_gradient(d, settings)
            curvature = problem.norm(q) ** 2 + float((d * pd).sum())
            alpha = gamma / max(curvature, TINY)
            x.add_(d, alpha=alpha)
            r.sub_(q, alpha=alpha)
            s.sub_(problem.apply_mask_(A.T(problem.apply_weights(q)).add_(pd)), alpha=alpha)
            gamma, previous = float((s * s).sum()), gamma
            d.mul_(gamma / previous).add_(s)
        return x


def _penalty_gradient(x: torch.Tensor, settings: TikhonovSettings) -> torch.Tensor:
    """Return ``reg_par L^T L x``."""
    if settings.order == 0:
        return x * settings.reg_par
    g = gradient.add_forward_(gradient.zero_gradient(x), x, 1.0)
    return gradient.add_adjoint_(torch.zeros_like(x), g, settings.reg_par)
