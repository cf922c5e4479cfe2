"""How far each tilt agrees with the others: one that does not loses its vote."""

from __future__ import annotations

import torch

from tomoprior.methods.diffusion.measurement import Measurement

#: Weight of the expectation that a tilt is good, as a share of its rays.
PRIOR_SHARE = 0.1

#: Of the scaled residuals, where the robust loss turns from square to linear, standard deviations.
HUBER = 2.0


def misfits(data: Measurement, u: torch.Tensor) -> torch.Tensor:
    """Mean robust squared residual of every tilt, in units of its expected noise, shape ``(..., n_angles)``.

    About 1 or less where tilt and volume agree within noise, misalignment and the model's own error. A tilt's brightness is its
    own.
    """
    r = data.A(u).neg_().add_(data.y)
    w = data.w
    total = w.sum((-2, -1), keepdim=True)
    r = r - (w * r).sum((-2, -1), keepdim=True) / (1 / data.offset + total)
    z = r.abs() * w.sqrt()
    loss = torch.where(z <= HUBER, z * z, 2 * HUBER * z - HUBER**2)
    used = (w > 0).sum((-2, -1)).clamp_min(1)
    return loss.sum((-2, -1)) / used


def tilt_weights_from_misfit(data: Measurement, u: torch.Tensor) -> torch.Tensor:
    """Trust in each tilt, ``(..., n_angles)``: ``1 / max(1, s)^2`` with ``s`` the misfit shrunk towards 1.

    The misfits are taken relative to their median where that exceeds 1: what all tilts share is the model's error, not a
    tilt's.
    """
    found = misfits(data, u)
    common = found.median(-1, keepdim=True).values.clamp_min(1.0)
    s = (PRIOR_SHARE + found / common) / (PRIOR_SHARE + 1)
    return 1 / s.clamp_min(1.0) ** 2
