"""Posterior samples: the denoiser's estimate and the data in turn, at falling noise levels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.methods.diffusion.measurement import Measurement
from tomoprior.methods.solving import conjugate
from tomoprior.methods.solving.problem import copy_in_layout

#: A data step's residual at which there is nothing left to do, as a share of its first.
TOL = 1e-6

#: ``D(x, sigma, phase)``.
Denoise = Callable[[torch.Tensor, float, tuple[float, float]], torch.Tensor]

#: White noise of a given draw: ``noise(level, purpose, shape)``.
Noise = Callable[[int, str, tuple[int, ...]], torch.Tensor]


@dataclass(frozen=True)
class Schedule:
    """Noise levels from ``largest`` down to ``smallest``, Karras et al. 2022, eq. 5, with rho = 7."""

    num_iter: int
    largest: float
    smallest: float

    def levels(self) -> NDArray[np.float64]:
        """``(num_iter,)``, falling."""
        if self.num_iter == 1:
            return np.array([self.largest])
        at = np.linspace(0, 1, self.num_iter)
        return np.asarray((self.largest ** (1 / 7) + at * (self.smallest ** (1 / 7) - self.largest ** (1 / 7))) ** 7)


@dataclass(frozen=True)
class Step:
    """What one level did: the level, the denoiser's estimate and the estimate with the data, all on the padded grid."""

    level: int
    sigma: float
    denoised: torch.Tensor
    estimate: torch.Tensor


def sample(
    denoise: Denoise,
    data: Measurement,
    start: torch.Tensor,
    schedule: Schedule,
    noise: Noise,
    *,
    unknown: Callable[[float], float],
    data_weight: float = 1.0,
    num_cg: int = 5,
    each: Callable[[Step], None] | None = None,
) -> torch.Tensor:
    """One sample of the posterior.

    At noise level s the denoiser gives the clean volume's mean; what it does not know is taken for white, of the variance r2
    that its mean squared error has (as in Analytic-DPM, Bao et al. 2022). A clean volume is drawn from the product of that and
    the data's likelihood, by solving for randomly perturbed data and mean (Papandreou and Yuille, NIPS 2010), and the next
    level is drawn given that and the present (Ho et al. 2020, eq. 6 and 7, in EDM's variables). Drawing, where DDS and DiffPIR
    take the mean and add a fixed share of new noise, keeps the variance right whatever the number of levels: for a white
    Gaussian prior it is exact.

    Parameters
    ----------
    denoise
        The prior.
    start
        Where the samples set out from: the linear estimate, to which noise of the largest level is added.
    noise
        Gives the random numbers, so that whoever cuts a volume into slabs can give neighbours the same.
    unknown
        The denoiser's mean squared error r2 at a noise level, per voxel.
    data_weight
        The likelihood's exponent. Less than 1 where the denoiser knows the data already.
    num_cg
        Conjugate gradients at each level.
    each
        Called after every level.

    Returns
    -------
    Volume on the padded grid; the last level's mean, without noise.
    """
    levels = schedule.levels()
    shape = tuple(start.shape)
    x = start + float(levels[0]) * noise(0, "start", shape)
    for i, s in enumerate(float(v) for v in levels):
        last = i == len(levels) - 1
        phases = noise(i, "phase", (2,)).mul(0.70710678).erf().mul(0.5).add(0.5)
        mean = denoise(x, s, (float(phases[0]), float(phases[1])))
        r2 = unknown(s)
        drawn = mean if last else mean + math.sqrt(r2) * noise(i, "clean", shape)
        if data_weight > 0:
            disturbance = None if last else (noise(i, "data", tuple(data.y.shape)), noise(i, "offset", (len(data.y),)))
            estimate = data_step(data, drawn, r2, data_weight, num_cg, disturbance)
        else:
            estimate = drawn
        if each is not None:
            each(Step(i, s, mean, estimate))
        if last:
            return estimate
        following = float(levels[i + 1])
        kept = following**2 / s**2
        x = estimate + kept * (x - estimate)
        x += math.sqrt(following**2 * (1 - kept)) * noise(i, "next", shape)
    raise AssertionError("a schedule has at least one level")


def data_step(
    data: Measurement,
    prior_mean: torch.Tensor,
    r2: float,
    data_weight: float,
    num_cg: int,
    disturbance: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> torch.Tensor:
    """``min_x data_weight (y - A x)^T W (y - A x) + |x - prior_mean|^2 / r2`` by conjugate gradients from ``prior_mean``.

    With a ``disturbance``, white noise for each ray and each tilt's brightness, y is drawn anew from its noise: together with a
    ``prior_mean`` drawn from its own the solution is a draw from the product of both (Papandreou and Yuille 2010).
    """
    A = data.A
    y = data.y
    if disturbance is not None:
        ray, tilt = disturbance
        brightness = math.sqrt(data.offset) * tilt[:, None, None] * (data.w > 0)
        y = y + (copy_in_layout(y, ray) * data.deviation + brightness) / math.sqrt(data_weight)
    r = A.T(data.weighted(y - A(prior_mean))).mul_(data_weight)

    def normal(v: torch.Tensor) -> torch.Tensor:
        return A.T(data.weighted(A(v))).mul_(data_weight).add_(v, alpha=1 / r2)

    return conjugate.solve_positive(normal, copy_in_layout(r, prior_mean), r, num_cg, TOL).contiguous()
