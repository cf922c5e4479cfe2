"""Total variation: least squares with a penalty on the height times area of edges, by preconditioned primal-dual steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field

from tomoprior.geometry import Geometry
from tomoprior.methods.base import Tunable
from tomoprior.methods.solving import direction, gradient, strength
from tomoprior.methods.solving.iterative import BoxSettings, IterativeMethod, Monitor, clamp_
from tomoprior.methods.solving.problem import Problem, ray_and_voxel_sums, reciprocal_
from tomoprior.projector import FilteredProjector

#: Rows beyond its own that a slab needs: rows farther away change a voxel by less than the error of the iterations.
HALO = 16


class TVSettings(BoxSettings):
    """Settings of ``tv``."""

    fast: ClassVar[Mapping[str, Any]] = {"reg_par": "auto", "num_iter": 100}

    num_iter: int = Field(
        400, ge=1, description="Number of iterations; 400 converge to a few hundredths of a dB on noise-free phantoms."
    )
    reg_par: Annotated[float, Field(ge=0)] | Literal["auto", "held-out"] = Field(
        "held-out",
        description="Strength: the cost of a unit of edge height times area, relative to half the squared residual. "
        "auto: a rule of thumb, 0.005 times the number of tilts times the height of typical contrast (from 5 CGLS "
        "iterations). held-out: the strength that predicts every fifth tilt best, from 1024 times the rule down "
        "to a 64th, at up to the cost of 420 more iterations. The rule takes its place with fewer than five tilts, or a range "
        "so narrow that all tilts show the same image.",
    )
    huber_delta: float = Field(
        0.0,
        ge=0,
        description="Difference between neighbours (value per voxel) below which the penalty is quadratic: this "
        "keeps ramps from becoming stairs. 0 is plain TV.",
    )
    z_weight: Annotated[float, Field(gt=0, le=1)] | Literal["held-out"] = Field(
        1.0,
        description="Weight of the differences along z. A limited range of tilts measures edges across z worst; a weight below "
        "1 moves fewer of them. held-out: 0.25, 0.35, 0.5 or 1, whichever predicts every fifth tilt best.",
    )


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
    tunable: ClassVar[Tunable] = {}  # held-out tilts choose in every run
    couples_slices = True
    # measured on the CPU where volumes outweigh the projections: 6.0 volumes with numba and 6.2 with the matrix
    peak_arrays = (6.0, 6.0)
    peak_sum_arrays = (1.0, 1.0)
    pairs = 2.0

    def solve(self, problem: Problem, settings: TVSettings, monitor: Monitor) -> torch.Tensor:
        """Choose the strength and the weight along z if the settings leave them open, then iterate."""
        if settings.z_weight == "held-out":
            settings = direction.choose_z_weight(problem, settings, minimise)
            monitor.settled["z_weight"] = float(settings.z_weight)
        reg_par, how = strength.resolve_strength(problem, settings, minimise)
        monitor.settled |= {"reg_par": reg_par * problem.weight_scale, "reg_par_by": how}
        return minimise(problem, settings, reg_par, monitor, balance=self._balance(problem, reg_par))

    def _balance(self, problem: Problem, reg_par: float) -> float:
        """Return the balance of the steps: that of the search with a transfer function, where penalties are strong, else 1."""
        if not isinstance(problem.A, FilteredProjector):
            return 1.0
        rule = strength.RULE_FACTOR * strength.sum_tilt_weights(problem) * strength.estimate_contrast(problem)
        return max(1.0, reg_par / (strength.STRONG * rule)) if rule else 1.0

    def halo(self, geometry: Geometry, settings: Any) -> int:
        """Return the rows beyond its own that a slab of a larger volume needs."""
        return HALO

    def open_settings(self, settings: TVSettings) -> dict[str, Any]:
        """Return the settings that are left to the method, with the strength and the weight along z if they are open."""
        names = [name for name in ("reg_par", "z_weight") if isinstance(getattr(settings, name), str)]
        return super().open_settings(settings) | dict.fromkeys(names)

    def memory(self, geometry: Geometry, settings: Any) -> int:
        """Return the bytes at the peak, with a volume and a copy of the projections for a search by held-out tilts."""
        searched = settings if settings.z_weight != "held-out" else settings.model_copy(update={"reg_par": "held-out"})
        return super().memory(geometry, settings) + strength.search_bytes(geometry, searched)

    def cost_in_pairs(self, geometry: Geometry, settings: Any) -> float:
        """Return the cost in pairs, with the search of the strength."""
        extra = strength.search_cost_in_pairs(settings.reg_par) * self.pairs
        if settings.z_weight == "held-out":
            extra = extra * (1 + len(direction.Z_WEIGHTS)) + direction.COST * self.pairs
        return super().cost_in_pairs(geometry, settings) + extra


def minimise(
    problem: Problem,
    settings: TVSettings,
    reg_par: float,
    monitor: Monitor,
    duals: strength.DualVariables | None = None,
    *,
    balance: float = 1.0,
) -> torch.Tensor:
    """Iterate at strength ``reg_par`` from ``problem.x`` and from ``duals``, or from dual variables that fit ``problem.x``.

    Without ``duals``, ``balance`` is the factor of the dual steps, and the divisor of the primal steps.
    """
    A, data, weights, x = problem.A, problem.data, problem.weights, problem.x
    rays, voxels = ray_and_voxel_sums(replace(problem, weights=None))
    balance = balance if duals is None else duals.balance
    a = 1.0 if isinstance(settings.z_weight, str) else settings.z_weight
    column_sum = gradient.COLUMN_SUM - 2 * (1 - a)
    sigma, tau = reciprocal_(rays).mul_(balance), voxels.add_(column_sum).mul_(balance).reciprocal_()
    # the dual step of the data term has a closed form: y <- (y + sigma (A xbar - p)) * shrink, which includes W
    shrink = 1 / (1 + sigma) if weights is None else weights / (weights + sigma)
    step = balance / gradient.ROW_SUM
    ax, xbar = A(x), x.clone()
    y, q = _initial_duals(problem, ax, reg_par, a) if duals is None else (duals.y, duals.q)
    previous = ax.clone()
    huber = 1 / (1 + step * settings.huber_delta / reg_par) if settings.huber_delta and reg_par else 1.0
    for _ in range(settings.num_iter):
        if monitor.stop(problem.norm(ax - data)):
            break
        # A xbar = 2 A x - A x_previous: the residual of x needs no further projection
        y.addcmul_(previous.neg_().add_(ax, alpha=2).sub_(data), sigma).mul_(shrink)
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
        del descent  # else it exists beside the next one
        problem.apply_mask_(clamp_(x, settings))
        xbar.add_(x, alpha=2)
        ax = A(x)
    return x


def _initial_duals(problem: Problem, ax: torch.Tensor, reg_par: float, z_weight: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return dual variables for a start from ``problem.x``."""
    x = problem.x
    y, q = problem.apply_weights(ax - problem.data), gradient.zero_gradient(x)
    top = float(x.abs().amax())
    if top == 0:
        y.zero_()
    elif reg_par:
        # at the solution the dual variables are the residual and the directions of the edges: start them there too
        gradient.shrink_to_ball_(gradient.add_forward_(q, x, 1e6 * reg_par / top, z_weight), reg_par)
    return y, q
