"""CGLS: conjugate gradients on the normal equations."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field

from tomoprior.methods.base import Tunable
from tomoprior.methods.classical.iterative import IterativeMethod, IterativeSettings, Monitor
from tomoprior.methods.classical.problem import TINY, Problem


class CGLSSettings(IterativeSettings):
    """Settings of ``cgls``."""

    num_iter: int = Field(20, ge=1, description="Iterations; the regularisation too: noise grows with them.")


class CGLS(IterativeMethod):
    """Least squares by conjugate gradients, which converges far faster than SIRT and knows no bounds.

    Every slice has its own steps, as if it were alone (unless tilts are shifted along y, which ties the slices together).

    Hestenes and Stiefel, J. Res. NBS 49 (1952) 409; Björck, Numerical Methods for Least Squares Problems (1996), alg. 7.4.1.
    """

    name = "cgls"
    summary = "CGLS: least squares by conjugate gradients; fast, stop early when there is noise"
    citation = "Hestenes and Stiefel, J. Res. NBS 49 (1952) 409; Björck (1996), Numerical Methods for Least Squares, alg. 7.4.1"
    Settings = CGLSSettings
    tunable: ClassVar[Tunable] = {"num_iter": (3, 5, 8, 12, 20, 30, 50)}
    arrays = (5.2, 3.0)

    def solve(self, problem: Problem, settings: CGLSSettings, monitor: Monitor) -> torch.Tensor:
        """The iterations."""
        A, x = problem.A, problem.x
        r = A(x).neg_().add_(problem.p)
        s = problem.masked(A.T(problem.weighted(r)))
        d = s.clone()
        gamma = first = problem.dot(s, s)
        for _ in range(settings.num_iter):
            # below this, rounding is all that is left in a slice: a further step would divide noise by noise
            alive = gamma > 1e-13 * first
            if monitor.stop(problem.norm(r)) or not bool(alive.any()):
                break
            q = A(d)
            alpha = torch.where(alive, gamma / problem.dot(q, problem.weighted(q)).clamp_min(TINY), 0.0)
            # not addcmul_, which may round once or twice, by where in a vector a value stands; s is free until it is made anew
            x.add_(torch.mul(d, alpha, out=s))
            r.sub_(q.mul_(alpha))
            s = problem.masked(A.T(problem.weighted(r)))
            gamma, previous = problem.dot(s, s), gamma
            d.mul_(gamma / previous.clamp_min(TINY)).add_(s)
        return x
