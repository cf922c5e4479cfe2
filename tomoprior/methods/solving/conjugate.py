"""Conjugate gradients for a symmetric positive map, where neither mask nor residual of the data is wanted."""

from __future__ import annotations

from collections.abc import Callable

import torch

#: A divisor that is never zero.
TINY = torch.finfo(torch.float32).tiny


def solve_positive(
    normal: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, r: torch.Tensor, num_iter: int, tol: float
) -> torch.Tensor:
    """Solve ``normal(x) = b`` from ``x`` with residual ``r = b - normal(x)``; both are changed in place, and x is returned.

    The last three axes are one system; those before them are a batch of systems, each with steps of its own. It ends after
    ``num_iter`` iterations, or once the squared residual of every system is at most ``tol^2`` of its first; ``tol = 0`` never
    looks, which spares a GPU the wait. Hestenes and Stiefel, J. Res. NBS 49 (1952) 409.
    """
    d = r.clone()
    gamma = first = _dot(r, r)
    for _ in range(num_iter):
        if tol > 0 and bool((gamma <= tol**2 * first).all()):
            break
        q = normal(d)
        alpha = gamma / _dot(d, q).clamp_min(TINY)
        x.addcmul_(d, alpha)
        r.addcmul_(q, alpha, value=-1)
        gamma, previous = _dot(r, r), gamma
        d.mul_(gamma / previous.clamp_min(TINY)).add_(r)
    return x


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a * b).sum((-3, -2, -1), keepdim=True)
