"""Conjugate gradients for a symmetric positive map that is known as a function only: without mask and without data residual."""

from __future__ import annotations

from collections.abc import Callable

import torch

from tomoprior.methods.solving.problem import TINY


def solve_positive(
    normal: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, r: torch.Tensor, num_iter: int, tol: float
) -> torch.Tensor:
    """Solve ``normal(x) = b`` by conjugate gradients. Hestenes and Stiefel, J. Res. NBS 49 (1952) 409.

    Parameters
    ----------
    normal
        A symmetric positive linear map.
    x, r
        Starting point and its residual ``b - normal(x)``; both change in place. The last three axes are one system, and those
        before them a batch of systems with step lengths of their own.
    num_iter
        Largest number of iterations.
    tol
        Stop when the squared residual of every system is at most ``tol^2`` times its first one. With 0 the residual is
        never checked, which spares a GPU the wait.

    Returns
    -------
    ``x``.

    Notes
    -----
    ``solve_least_squares`` and ``tikhonov`` have loops of their own. Both follow the residual of the data, which stops them and
    is part of the record, and update the residual of the normal equations from it. Here this residual does not exist, and
    the update is another one: shared code would change their rounding, which the tests of independent slices forbid for
    ``cgls``.
    """
    d = r.clone()
    gamma = first = _inner_products(r, r)
    for _ in range(num_iter):
        if tol > 0 and bool((gamma <= tol**2 * first).all()):
            break
        q = normal(d)
        alpha = gamma / _inner_products(d, q).clamp_min(TINY)
        x.addcmul_(d, alpha)
        r.addcmul_(q, alpha, value=-1)
        gamma, previous = _inner_products(r, r), gamma
        d.mul_(gamma / previous.clamp_min(TINY)).add_(r)
    return x


def _inner_products(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a * b).sum((-3, -2, -1), keepdim=True)
