"""Penalties on residuals and on differences between voxels, with their derivatives.

Both are sums, not means, so that a strength means the same as in ``tv``:
``1/2 ||W^(1/2) (A x - p)||^2 + reg_par sum |grad x|``. Derivatives are written out: a network needs them with respect to the
volume only, and no graph has to be kept of the rest.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from tomoprior.methods.cn.settings import CNSettings
from tomoprior.methods.solving import gradient

#: Total variation has no derivative where nothing changes: differences below this fraction of the contrast count as squares.
SMOOTHING = 0.01

#: From residuals ``A x - p`` and weights, to ``sum w rho(r)`` and its derivative.
Loss = Callable[[torch.Tensor, torch.Tensor | None], tuple[torch.Tensor, torch.Tensor]]
#: From a slab of the volume to the penalty; its derivative is added to the second argument.
Regulariser = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def l2(r: torch.Tensor, w: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """``1/2 sum w r^2``."""
    slope = r if w is None else w * r
    return 0.5 * (slope * r).sum(), slope


def l1(r: torch.Tensor, w: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """``sum w |r|``; the derivative at zero is zero."""
    slope = r.sign() if w is None else r.sign().mul_(w)
    return (slope * r).sum(), slope


def huber(r: torch.Tensor, w: torch.Tensor | None, delta: float) -> tuple[torch.Tensor, torch.Tensor]:
    """``1/2 r^2`` up to ``delta`` and ``delta (|r| - delta / 2)`` beyond: Huber, Ann. Math. Stat. 35 (1964) 73."""
    inner = r.clamp(-delta, delta)
    slope = inner if w is None else w * inner
    return (slope * (r - 0.5 * inner)).sum(), slope


def make_loss(settings: CNSettings, spread: float) -> Loss:
    """The penalty on residuals; ``spread`` is the projections' standard deviation."""
    if settings.loss == "huber":
        delta = settings.loss_delta * spread
        return lambda r, w: huber(r, w, delta)
    return l1 if settings.loss == "l1" else l2


def squared(x: torch.Tensor, out: torch.Tensor, strength: float) -> torch.Tensor:
    """``strength sum |D x|^2`` with the differences D of ``classical.gradient``."""
    q = gradient.add_forward_(gradient.zero_gradient(x), x, 1.0)
    gradient.add_adjoint_(out, q, 2 * strength)
    return strength * (q * q).sum()


def smooth_tv(x: torch.Tensor, out: torch.Tensor, strength: float, eps: float) -> torch.Tensor:
    """``strength sum (sqrt(|D x|^2 + eps^2) - eps)``: isotropic in 3-D, and zero for a flat volume."""
    q = gradient.add_forward_(gradient.zero_gradient(x), x, 1.0)
    norm = gradient.squared_norm(q).add_(eps * eps).sqrt_()
    gradient.add_adjoint_(out, q.div_(norm), strength)
    return strength * (norm - eps).sum()


def huber_tv(x: torch.Tensor, out: torch.Tensor, strength: float, delta: float) -> torch.Tensor:
    """``strength sum h(|D x|)`` with h quadratic, ``t^2 / (2 delta)``, up to ``delta`` and ``t - delta / 2`` beyond."""
    q = gradient.add_forward_(gradient.zero_gradient(x), x, 1.0)
    norm = gradient.squared_norm(q).sqrt_()
    larger = norm.clamp(min=delta)
    gradient.add_adjoint_(out, q.div_(larger), strength)
    # t - delta / 2 where t >= delta, and t^2 / (2 delta) elsewhere
    inner = norm.clamp(max=delta)
    return strength * (norm - inner + inner * inner / (2 * delta)).sum()


def make_regulariser(settings: CNSettings, strength: float, contrast: float) -> Regulariser | None:
    """The penalty on differences, or None where it has no strength; ``contrast`` is the height of what stands out."""
    if settings.regulariser == "none" or strength == 0:
        return None
    if settings.regulariser == "squared":
        return lambda x, out: squared(x, out, strength)
    if settings.regulariser == "tv":
        return lambda x, out: smooth_tv(x, out, strength, SMOOTHING * contrast)
    return lambda x, out: huber_tv(x, out, strength, settings.regulariser_delta * contrast)
