"""Weights of the tilts: a tilt that does not agree with the others counts little."""

from __future__ import annotations

import torch

from tomoprior.methods.diffusion.measurement_model import MeasurementModel

#: Weight of the expectation that a tilt is good, as a share of its rays.
PRIOR_WEIGHT = 0.1

#: Scaled residual at which the robust loss turns from square to linear, standard deviations.
HUBER_THRESHOLD = 2.0


def compute_tilt_misfits(data: MeasurementModel, u: torch.Tensor) -> torch.Tensor:
    """Return the mean robust squared residual of every tilt, in units of its expected noise, ``(..., n_angles)``.

    It is about 1 or less where tilt and volume agree within noise, misalignment and the model's own error. Each tilt's
    brightness is fitted and does not count.
    """
    r = data.A(u).neg_().add_(data.y)
    w = data.w
    r = r - data.fit_brightness(r)
    z = r.abs() * w.sqrt()
    loss = torch.where(z <= HUBER_THRESHOLD, z * z, 2 * HUBER_THRESHOLD * z - HUBER_THRESHOLD**2)
    used = (w > 0).sum((-2, -1)).clamp_min(1)
    return loss.sum((-2, -1)) / used


def tilt_weights_from_misfit(data: MeasurementModel, u: torch.Tensor) -> torch.Tensor:
    """Return a weight for each tilt, ``(..., n_angles)``: ``1 / max(1, s)^2`` with ``s`` the misfit shrunk towards 1.

    If the median misfit exceeds 1, all misfits are divided by it: a misfit that all tilts share is an error of the model, not
    of a tilt.
    """
    misfits = compute_tilt_misfits(data, u)
    common = misfits.median(-1, keepdim=True).values.clamp_min(1.0)
    s = (PRIOR_WEIGHT + misfits / common) / (PRIOR_WEIGHT + 1)
    return 1 / s.clamp_min(1.0) ** 2
