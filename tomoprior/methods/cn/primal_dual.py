"""Fit a spline field: solve a convex problem by preconditioned primal-dual steps.

``min_c rho(A m (b + B c) - p) + reg_par R(D c)`` over weights c >= 0, with B the splines, m the mask and D forward
differences. Chambolle and Pock, J. Math. Imaging Vis. 40 (2011) 120, alg. 1, with the diagonal steps of Pock and Chambolle,
ICCV 2011, lemma 2.
The splines sum to one, so the step sizes are those of voxels, spread by the splines.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from tomoprior.errors import InputError
from tomoprior.methods.cn.settings import SplineSettings
from tomoprior.methods.cn.spline import SplineBasis
from tomoprior.methods.solving import gradient
from tomoprior.methods.solving.problem import Problem, copy_in_layout, ray_and_voxel_sums, reciprocal_

#: Limits of the factor by which dual steps are longer and primal steps shorter (measured on phantoms): with a strong penalty
#: the dual variables converge later, and without noise the weights do.
BALANCE = (0.2, 2.0)

#: Called with the norm of the residual of every iterate; True ends the iterations.
Watch = Callable[[float], bool]


@dataclass
class PrimalDualState:
    """Weights and dual variables, from which iterations can continue, also at another strength.

    Attributes
    ----------
    c
        Weights on the nodes.
    y, q
        Dual variables of the data, ``A.range_shape``, and of the differences, ``(3, *c.shape)``.
    """

    c: torch.Tensor
    y: torch.Tensor
    q: torch.Tensor

    def copy(self) -> PrimalDualState:
        """Return a copy with its own memory."""
        return PrimalDualState(self.c.clone(), self.y.clone(), self.q.clone())


@dataclass(frozen=True)
class Units:
    """Units of the settings that are fractions.

    Attributes
    ----------
    contrast
        Height of typical contrast, per voxel.
    spread
        Standard deviation of the projections.
    rule
        Strength by the rule of thumb of ``tv``; step sizes are balanced around it.
    """

    contrast: float
    spread: float
    rule: float


class PrimalDualSolver:
    """The iterations for one problem and one basis.

    Parameters
    ----------
    problem
        Its data are the projections minus those of the background.
    """

    def __init__(self, problem: Problem, basis: SplineBasis, settings: SplineSettings, units: Units) -> None:
        self.problem, self.basis, self.settings, self.units = problem, basis, settings, units
        rays, voxels = ray_and_voxel_sums(replace(problem, weights=None))
        self._sigma = reciprocal_(rays)
        spread = copy_in_layout(problem.x, voxels.expand(problem.x.shape))
        self._tau = basis.adjoint(spread).add_(gradient.COLUMN_SUM).reciprocal_()
        self._weights = 1.0 if problem.weights is None else problem.weights

    def start(self, weights: torch.Tensor | None = None) -> PrimalDualState:
        """Return a state with the given weights, or zeros, and with dual variables of zero."""
        c = torch.zeros_like(self._tau) if weights is None else copy_in_layout(self._tau, weights)
        return PrimalDualState(c, torch.zeros_like(self.problem.data), gradient.zero_gradient(c))

    def volume(self, c: torch.Tensor) -> torch.Tensor:
        """Return ``m B c``, shape ``problem.A.domain_shape``; it may share the memory of ``c``."""
        return self._apply_mask(self.basis.values(c))

    def run(
        self, state: PrimalDualState, reg_par: float, num_iter: int, watch: Watch | None = None, *, balance: float = 1.0
    ) -> PrimalDualState:
        """Iterate from ``state``, in place, at strength ``reg_par`` for the problem's own weights.

        ``balance`` is the factor of the dual steps and the divisor of the primal steps.
        """
        problem, basis = self.problem, self.basis
        c, y, q = state.c, state.y, state.q
        sigma, tau = self._sigma * balance, self._tau / balance
        step = balance / gradient.ROW_SUM
        # the dual step of squares has a closed form, the same factor in every iteration
        shrink = None if self.settings.loss == "l1" else self._weights / (self._weights + sigma)
        bar, ac = c.clone(), problem.A(self.volume(c))
        previous = ac.clone()
        for iteration in range(num_iter):
            if watch is not None:
                norm = problem.norm(ac - problem.data)
                if not norm < float("inf"):
                    raise InputError(
                        f"the residual is not finite in iteration {iteration + 1}: the projections are too large for float32"
                    )
                if watch(norm):
                    break
            # A cbar = 2 A c - A c_previous: the residual of c needs no further projection
            self._data_step(y, previous.neg_().add_(ac, alpha=2).sub_(problem.data), sigma, shrink)
            previous = ac
            direction = basis.adjoint(self._apply_mask(problem.A.T(y)))
            if reg_par:
                self._difference_step(gradient.add_forward_(q, bar, step), reg_par, step)
                gradient.add_adjoint_(direction, q, 1.0)
            bar.copy_(c).neg_()
            c.sub_(direction.mul_(tau))
            if self.settings.min_constraint is not None:
                c.clamp_(min=0.0)
            bar.add_(c, alpha=2)
            ac = problem.A(self.volume(c))
        return state

    def balance(self, reg_par: float) -> float:
        """Return the balance for a long run at a strength; short runs from a neighbouring strength need none."""
        return min(max(math.sqrt(reg_par / self.units.rule), BALANCE[0]), BALANCE[1])

    def _data_step(self, y: torch.Tensor, residual: torch.Tensor, sigma: torch.Tensor, shrink: torch.Tensor | None) -> None:
        y.addcmul_(residual, sigma)
        loss, weights = self.settings.loss, self.problem.weights
        if shrink is not None:
            y.mul_(shrink)
        if loss != "l2":
            # y is the slope of the loss, and the slope of a linear penalty is bounded
            top = 1.0 if loss == "l1" else self.settings.loss_huber_delta * self.units.spread
            if weights is None:
                y.clamp_(-top, top)
            else:
                y.copy_(torch.minimum(torch.maximum(y, -top * weights), top * weights))

    def _difference_step(self, q: torch.Tensor, reg_par: float, step: float) -> None:
        kind = self.settings.regulariser
        if kind == "squared":
            q.mul_(1 / (1 + step / (2 * reg_par)))  # reg_par |D c|^2, as for networks
            return
        if kind == "huber-tv":
            q.mul_(1 / (1 + step * self.settings.huber_delta * self.units.contrast / reg_par))
        gradient.shrink_to_ball_(q, reg_par)

    def _apply_mask(self, x: torch.Tensor) -> torch.Tensor:
        if self.problem.mask is None:
            return x
        return x * self.problem.mask if self.basis.reach == 0 else x.mul_(self.problem.mask)
