"""Tikhonov regularisation: a quadratic penalty on the values or on their differences."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from tomoprior.geometry import Geometry
from tomoprior.methods.base import Tunable
from tomoprior.methods.solving import gradient
from tomoprior.methods.solving.iterative import IterativeMethod, IterativeSettings, Monitor
from tomoprior.methods.solving.problem import TINY, Problem

#: Rows beyond its own that a slab sees: all slices share their conjugate gradients' steps, with either order.
HALO = 16


class TikhonovSettings(IterativeSettings):
    """Settings of ``tikhonov``."""

    num_iter: int = Field(50, ge=1, description="Iterations of conjugate gradients.")
    reg_par: float = Field(
        1.0, ge=0, description="Strength. A^T A has eigenvalues of about n_angles / (pi k) at k cycles per voxel; where "
        "reg_par (times (2 pi k)^2 for order 1) exceeds that, detail is damped.",
    )  # fmt: skip
    order: Literal[0, 1] = Field(1, description="Penalise values (0) or differences between neighbouring voxels (1).")


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
    arrays = (8.0, 3.0)
    pairs = 1.2

    def halo(self, geometry: Geometry, settings: Any) -> int:
        """Rows that a slab of a larger volume sees beyond its own."""
        return HALO

    def solve(self, problem: Problem, settings: TikhonovSettings, monitor: Monitor) -> torch.Tensor:
        """The iterations, on the normal equations with the data's residual kept beside them."""
        A, x = problem.A, problem.x
        settings = settings.model_copy(update={"reg_par": settings.reg_par / problem.w_scale})
        r = A(x).neg_().add_(problem.p)
        s = problem.masked(A.T(problem.weighted(r)).sub_(_penalty(x, settings)))
        d = s.clone()
        gamma = first = float((s * s).sum())
        for _ in range(settings.num_iter):
            if monitor.stop(problem.norm(r)) or gamma <= 1e-13 * first:
                break
            q = A(d)
            pd = _penalty(d, settings)
            curvature = problem.norm(q) ** 2 + float((d * pd).sum())
            alpha = gamma / max(curvature, TINY)
            x.add_(d, alpha=alpha)
            r.sub_(q, alpha=alpha)
            s.sub_(problem.masked(A.T(problem.weighted(q)).add_(pd)), alpha=alpha)
            gamma, previous = float((s * s).sum()), gamma
            d.mul_(gamma / previous).add_(s)
        return x


def _penalty(x: torch.Tensor, settings: TikhonovSettings) -> torch.Tensor:
    """``reg_par L^T L x``."""
    if settings.order == 0:
        return x * settings.reg_par
    g = gradient.add_forward_(gradient.zeros(x), x, 1.0)
    return gradient.add_adjoint_(torch.zeros_like(x), g, settings.reg_par)
