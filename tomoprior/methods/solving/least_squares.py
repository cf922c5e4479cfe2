"""Conjugate gradients on the normal equations of a weighted, masked problem, slice by slice."""

from __future__ import annotations

import torch

from tomoprior.methods.solving.iterative import Monitor
from tomoprior.methods.solving.problem import TINY, Problem

#: Below this part of its first value the squared residual of the normal equations is only rounding: a further step would
#: divide noise by noise.
ROUNDING = 1e-13


def solve_least_squares(problem: Problem, num_iter: int, monitor: Monitor) -> torch.Tensor:
    """Minimise ``||W^(1/2) (A x - p)||`` from ``problem.x``, which changes in place, and return it.

    Every slice has its own step lengths, as if it were alone (unless tilts are shifted along y, which couples the slices).
    Björck, Numerical Methods for Least Squares Problems (1996), alg. 7.4.1.

    ``tikhonov`` has a loop of its own: its penalty couples all slices, so it has one step length, and it updates the residual
    of the normal equations instead of computing it anew. One loop for both would change the bits of one of them.
    """
    A, x = problem.A, problem.x
    r = A(x).neg_().add_(problem.data)
    s = problem.apply_mask_(A.T(problem.apply_weights(r)))
    d = s.clone()
    gamma = first = problem.dot(s, s)
    for _ in range(num_iter):
        alive = gamma > ROUNDING * first
        if monitor.stop(problem.norm(r)) or not bool(alive.any()):
            break
        q = A(d)
        alpha = torch.where(alive, gamma / problem.dot(q, problem.apply_weights(q)).clamp_min(TINY), 0.0)
        # not addcmul_: it rounds once or twice, depending on the place of a value in a vector; s serves as a buffer here
        x.add_(torch.mul(d, alpha, out=s))
        r.sub_(q.mul_(alpha))
        s = problem.apply_mask_(A.T(problem.apply_weights(r)))
        gamma, previous = problem.dot(s, s), gamma
        d.mul_(gamma / previous.clamp_min(TINY)).add_(s)
    return x
