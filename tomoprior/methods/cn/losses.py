"""Penalties on residuals and on differences between voxels, with their derivatives.

Both are sums, not means, so that a strength has the same meaning as in ``tv``:
``1/2 ||W^(1/2) (A x - p)||^2 + reg_par sum |grad x|``. The derivatives are explicit: a network needs
them with respect to the volume only, so that no graph of the rest is necessary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from tomoprior.methods.cn.settings import CNSettings
from tomoprior.methods.solving import gradient

#: Total variation has no derivative at zero: below this fraction of the contrast the penalty on differences is quadratic.
SMOOTHING = 0.01

#: From residuals ``A x - p`` and weights w to ``sum w rho(r)`` and its derivative.
Loss = Callable[[torch.Tensor, torch.Tensor | None], tuple[torch.Tensor, torch.Tensor]]
#: From a slab of the volume to its penalty; the derivative is added to the second argument.
Regulariser = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def l2(r: torch.Tensor, weights: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ``1/2 sum w r^2`` and its derivative."""
    slope = r if weights is None else weights * r
    return 0.5 * (slope * r).sum(), slope


def l1(r: torch.Tensor, weights: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ``sum w |r|`` and its derivative, which is zero at zero."""
    slope = r.sign() if weights is None else r.sign().mul_(weights)
    return (slope * r).sum(), slope


def huber(r: torch.Tensor, weights: torch.Tensor | None, delta: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return Huber's loss and its derivative: ``1/2 r^2`` up to ``delta`` and ``delta (|r| - delta / 2)`` beyond.

    Huber, Ann. Math. Stat. 35 (1964) 73.
    """
    inner = r.clamp(-delta, delta)
    slope = inner if weights is None else weights * inner
    return (slope * (r - 0.5 * inner)).sum(), slope


def make_loss(settings: CNSettings, spread: float) -> Loss:
    """Return the penalty on residuals; ``spread`` is the standard deviation of the projections."""
    if settings.loss == "huber":
        delta = settings.loss_huber_delta * spread
        return lambda r, weights: huber(r, weights, delta)
    return l1 if settings.loss == "l1" else l2


def squared(x: torch.Tensor, out: torch.Tensor, strength: float) -> torch.Tensor:
    """Return ``strength sum |D x|^2`` with the differences D of ``solving.gradient``, and add its derivative to ``out``."""
    q = gradient.add_forward_(gradient.zero_gradient(x), x, 1.0)
    gradient.add_adjoint_(out, q, 2 * strength)
    return strength * (q * q).sum()


def smooth_tv(x: torch.Tensor, out: torch.Tensor, strength: float, eps: float) -> torch.Tensor:
    """Return ``strength sum (sqrt(|D x|^2 + eps^2) - eps)``: isotropic in 3-D, and zero for a flat volume."""
    q = gradient.add_forward_(gradient.zero_gradient(x), x, 1.0)
    norm = gradient.squared_norm(q).add_(eps * eps).sqrt_()
    gradient.add_adjoint_(out, q.div_(norm), strength)
    return strength * (norm - eps).sum()


def huber_tv(x: torch.Tensor, out: torch.Tensor, strength: float, delta: float) -> torch.Tensor:
    """Return ``strength sum h(|D x|)``, where h is ``t^2 / (2 delta)`` up to ``delta`` and ``t - delta / 2`` beyond."""
    q = gradient.add_forward_(gradient.zero_gradient(x), x, 1.0)
    norm = gradient.squared_norm(q).sqrt_()
    larger = norm.clamp(min=delta)
    gradient.add_adjoint_(out, q.div_(larger), strength)
    # t - delta / 2 where t >= delta, and t^2 / (2 delta) elsewhere
    inner = norm.clamp(max=delta)
    return strength * (norm - inner + inner * inner / (2 * delta)).sum()


def make_regulariser(settings: CNSettings, strength: float, contrast: float) -> Regulariser | None:
    """Return the penalty on differences, or None without strength; ``contrast`` is the height of typical contrast."""
    if settings.regulariser is None or strength == 0:
        return None
    if settings.regulariser == "squared":
        return lambda x, out: squared(x, out, strength)
    if settings.regulariser == "tv":
        return lambda x, out: smooth_tv(x, out, strength, SMOOTHING * contrast)
    return lambda x, out: huber_tv(x, out, strength, settings.huber_delta * contrast)
