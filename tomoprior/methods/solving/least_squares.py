"""Conjugate gradients on the normal equations of a weighted, masked problem, slice by slice."""

from __future__ import annotations

import torch

from tomoprior.methods.solving.iterative import Monitor
from tomoprior.methods.solving.problem import TINY, Problem


def solve_least_squares(problem: Problem, num_iter: int, monitor: Monitor) -> torch.Tensor:
    """Minimise ``||W^(1/2) (A x - p)||`` from ``problem.x``, which is changed in place and returned.

    Every slice has its own step lengths, as if it were alone (unless tilts are shifted along y, which couples the slices).
    Björck, Numerical Methods for Least Squares Problems (1996), alg. 7.4.1.
    """
    A, x = problem.A, problem.x
    r = A(x).neg_().add_(problem.p)
    s = problem.masked(A.T(problem.weighted(r)))
    d = s.clone()
    gamma = first = problem.dot(s, s)
    for _ in range(num_iter):
        # below this only rounding is left in a slice: a further step would divide noise by noise
        alive = gamma > 1e-13 * first
        if monitor.stop(problem.norm(r)) or not bool(alive.any()):
            break
        q = A(d)
        alpha = torch.where(alive, gamma / problem.dot(q, problem.weighted(q)).clamp_min(TINY), 0.0)
        # not addcmul_: it rounds once or twice, depending on the place of a value in a vector; s serves as a buffer here
        x.add_(torch.mul(d, alpha, out=s))
        r.sub_(q.mul_(alpha))
        s = problem.masked(A.T(problem.weighted(r)))
        gamma, previous = problem.dot(s, s), gamma
        d.mul_(gamma / previous.clamp_min(TINY)).add_(s)
    return x
