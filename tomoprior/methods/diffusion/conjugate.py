"""Conjugate gradients for a symmetric positive map, where neither mask nor residual of the data is wanted."""

from __future__ import annotations

from collections.abc import Callable

import torch


def solve(
    normal: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, r: torch.Tensor, num_iter: int, tol: float
) -> torch.Tensor:
    """Solve ``normal(x) = b`` from ``x`` with residual ``r = b - normal(x)``; both are changed in place, and x is returned.

    It ends after ``num_iter`` iterations, or once the residual is at most ``tol`` of the first. Hestenes and Stiefel, J. Res.
    NBS 49 (1952) 409.
    """
    d = r.clone()
    gamma = first = float((r * r).sum())
    for _ in range(num_iter):
        if gamma <= tol**2 * first:
            break
        q = normal(d)
        alpha = gamma / float((d * q).sum())
        x.add_(d, alpha=alpha)
        r.sub_(q, alpha=alpha)
        gamma, previous = float((r * r).sum()), gamma
        d.mul_(gamma / previous).add_(r)
    return x
