"""Total variation: least squares with a penalty on edges' height times area, by preconditioned primal-dual steps."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field

from tomoprior.geometry import Geometry
from tomoprior.methods.base import Tunable
from tomoprior.methods.solving import direction, gradient, strength
from tomoprior.methods.solving.iterative import BoxSettings, IterativeMethod, Monitor, clamp_
from tomoprior.methods.solving.problem import Problem, padding, ray_and_voxel_sums, reciprocal_
from tomoprior.reconstruction import Reconstruction

#: Rows beyond its own that a slab sees: what lies farther away changes a voxel by less than the iterations leave open.
HALO = 16


class TVSettings(BoxSettings):
    """Settings of ``tv``."""

    num_iter: int = Field(
        400, ge=1, description="Iterations; 400 are converged to a few hundredths of a dB on noise-free phantoms."
    )
    min_constraint: float | None = Field(
        0.0,
        description="Lower bound of the values; 0 for non-negativity, the strongest prior there is where it holds, or none.",
    )
    reg_par: Annotated[float, Field(ge=0)] | Literal["auto", "held-out"] = Field(
        "auto",
        description="Strength: what a unit of edge height times area costs against the squared residual. auto: 0.005 times the "
        "number of tilts times the height of typical contrast (from 5 CGLS iterations). held-out: the one that best "
        "predicts every fifth tilt, from 1024 times that down to a 64th, at up to the cost of 420 more iterations.",
    )
    huber_delta: float = Field(
        0.0, ge=0, description="Differences below this (values per voxel) cost their square, which keeps ramps from "
        "becoming stairs; 0 is plain TV.",
    )  # fmt: skip
    z_weight: Annotated[float, Field(gt=0, le=1)] | Literal["held-out"] = Field(
        1.0, description="Weight of the differences along z. Edges across z are what a limited range of tilts measures worst; "
        "below 1 the penalty moves fewer of them. held-out: 0.25, 0.35, 0.5 or 1, whichever predicts every fifth tilt best.",
    )  # fmt: skip


class TV(IterativeMethod):
    """``min 1/2 ||W^(1/2) (A x - p)||^2 + reg_par sum |grad x|`` with bounds; isotropic in 3-D, or its Huber form.

    With ``z_weight`` a, ``|grad x|`` is ``sqrt(Dx^2 + Dy^2 + (a Dz)^2)``.

    The primal-dual algorithm of Chambolle and Pock, J. Math. Imaging Vis. 40 (2011) 120, alg. 1, with the diagonal steps of
    Pock and Chambolle, ICCV 2011, lemma 2 (alpha = 1); for CT see Sidky, Jorgensen and Pan, Phys. Med. Biol. 57 (2012) 3065.
    """

    name = "tv"
    summary = "TV: least squares with 3-D total variation and bounds; the classical opponent to beat"
    citation = "Chambolle and Pock, J. Math. Imaging Vis. 40 (2011) 120, alg. 1; Pock and Chambolle, ICCV (2011), lemma 2"
    Settings = TVSettings
    tunable: ClassVar[Tunable] = {"reg_par": ("auto", "held-out"), "min_constraint": (0.0, None)}
    couples_slices = True
    arrays = (7.0, 5.0)
    own_sums = (1.0, 1.0)
    pairs = 2.0

    def solve(self, problem: Problem, settings: TVSettings, monitor: Monitor) -> torch.Tensor:
        """Choose the strength where it is left open, then iterate."""
        if settings.z_weight == "held-out":
            settings = direction.choose_z_weight(problem, settings, minimise)
            monitor.settled["z_weight"] = float(settings.z_weight)
        reg_par = strength.resolve_strength(problem, settings, minimise)
        monitor.settled["reg_par"] = reg_par * problem.w_scale
        return minimise(problem, settings, reg_par, monitor)

    def halo(self, geometry: Geometry, settings: Any) -> int:
        """Rows that a slab of a larger volume sees beyond its own."""
        return HALO

    def settings_from_pilot(self, result: Reconstruction, settings: TVSettings, folder: Path) -> dict[str, Any]:
        """The strength, if it was left open."""
        settled = result.provenance["settled"]
        return {name: value for name, value in settled.items() if isinstance(getattr(settings, name), str)}

    def memory(self, geometry: Geometry, settings: Any) -> int:
        """With the search's own volume and copy of the projections where there is one."""
        needed = super().memory(geometry, settings)
        if "held-out" not in (settings.reg_par, settings.z_weight):
            return needed
        pad = padding(geometry, settings.pad)
        nz, ny, nx = geometry.shape
        return needed + 4 * (nz * ny * (nx + 2 * pad) + math.prod(geometry.range_shape))

    def cost_in_pairs(self, geometry: Geometry, settings: Any) -> float:
        """With the search for the strength where there is one."""
        extra = strength.search_cost_in_pairs(settings.reg_par) * self.pairs
        if settings.z_weight == "held-out":
            extra = extra * (1 + len(direction.Z_WEIGHTS)) + direction.COST * self.pairs
        return super().cost_in_pairs(geometry, settings) + extra


def minimise(
    problem: Problem, settings: TVSettings, reg_par: float, monitor: Monitor, duals: strength.DualVariables | None = None
) -> torch.Tensor:
    """The iterations at a given strength, from ``problem.x`` and the dual variables that are given or follow from it."""
    A, p, w, x = problem.A, problem.p, problem.w, problem.x
    rays, voxels = ray_and_voxel_sums(replace(problem, w=None))
    balance = 1.0 if duals is None else duals.balance
    a = 1.0 if isinstance(settings.z_weight, str) else settings.z_weight
    column_sum = gradient.COLUMN_SUM - 2 * (1 - a)
    sigma, tau = reciprocal_(rays).mul_(balance), voxels.add_(column_sum).mul_(balance).reciprocal_()
    # the dual step of the data term has a closed form: y <- (y + sigma (A xbar - p)) * shrink, with W in it
    shrink = 1 / (1 + sigma) if w is None else w / (w + sigma)
    step = balance / gradient.ROW_SUM
    ax, xbar = A(x), x.clone()
    y, q = _start(problem, ax, reg_par, a) if duals is None else (duals.y, duals.q)
    previous = ax.clone()
    huber = 1 / (1 + step * settings.huber_delta / reg_par) if settings.huber_delta and reg_par else 1.0
    for _ in range(settings.num_iter):
        if monitor.stop(problem.norm(ax - p)):
            break
        # A xbar = 2 A x - A x_previous: the residual of x itself comes for free
        y.addcmul_(previous.neg_().add_(ax, alpha=2).sub_(p), sigma).mul_(shrink)
        previous = ax
        if reg_par:
            gradient.add_forward_(q, xbar, step, a)
            if huber != 1.0:
                q.mul_(huber)
            gradient.shrink_to_ball_(q, reg_par)
        descent = A.T(y)
        if reg_par:
            gradient.add_adjoint_(descent, q, 1.0, a)
        xbar.copy_(x).neg_()
        x.sub_(descent.mul_(tau))
        problem.masked(clamp_(x, settings))
        xbar.add_(x, alpha=2)
        ax = A(x)
    return x


def _start(problem: Problem, ax: torch.Tensor, reg_par: float, z_weight: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Dual variables for a start from ``problem.x``."""
    x = problem.x
    y, q = problem.weighted(ax - problem.p), gradient.zeros(x)
    top = float(x.abs().amax())
    if top == 0:
        y.zero_()
    elif reg_par:
        # a warm start warms the dual variables too: at the solution they are the residual and the directions of the edges
        gradient.shrink_to_ball_(gradient.add_forward_(q, x, 1e6 * reg_par / top, z_weight), reg_par)
    return y, q
