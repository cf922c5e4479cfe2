"""Posterior samples that alternate the denoiser's estimate and a data step, at falling noise levels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.methods.diffusion.measurement_model import MeasurementModel
from tomoprior.methods.solving import conjugate
from tomoprior.methods.solving.problem import copy_in_layout

#: A data step ends when its residual falls below this share of its first residual.
RESIDUAL_TOLERANCE = 1e-6

#: ``D(x, sigma, phase)``: the mean of the clean volume given the noisy ``x``.
Denoise = Callable[[torch.Tensor, float, tuple[float, float]], torch.Tensor]

#: ``noise(level, purpose, shape)``: white noise for one purpose at one level.
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
    """Result of one level: its number and noise, the denoiser's estimate, and the estimate after the data step; padded grid."""

    level: int
    sigma: float
    denoised: torch.Tensor
    estimate: torch.Tensor


def draw_sample(
    denoise: Denoise,
    data: MeasurementModel,
    start: torch.Tensor,
    schedule: Schedule,
    noise: Noise,
    *,
    error_variance: Callable[[float], float],
    data_weight: float = 1.0,
    num_cg: int = 5,
    on_step: Callable[[Step], None] | None = None,
) -> torch.Tensor:
    """Draw one sample of the posterior.

    At noise level s the denoiser returns the clean volume's mean. Its error is modelled as white, with its mean squared error
    r2 as variance (as in Analytic-DPM, Bao et al. 2022). A clean volume is drawn from the product of this distribution and
    the data's likelihood, by solving for randomly perturbed data and mean (Papandreou and Yuille, NIPS 2010). The next
    level is drawn given this volume and the present one (Ho et al. 2020, eq. 6 and 7, in EDM's variables). DDS and DiffPIR use
    the mean and add a fixed share of new noise instead; drawing keeps the variance right for any number of levels, and is
    exact for a white Gaussian prior.

    Parameters
    ----------
    denoise
        The prior's denoiser.
    start
        Centre of the first level, to which noise of the largest level is added: the linear estimate.
    noise
        Returns the random numbers; slabs of one volume can share those of common rows.
    error_variance
        Returns the denoiser's mean squared error r2 per voxel at a noise level.
    data_weight
        The likelihood's exponent; less than 1 if the denoiser is conditioned on the data already.
    num_cg
        Conjugate gradients at each level.
    on_step
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
        mean = denoise(x, s, draw_phase(noise, i))
        r2 = error_variance(s)
        prior_sample = mean if last else mean + math.sqrt(r2) * noise(i, "clean", shape)
        if data_weight > 0:
            perturbation = None if last else (noise(i, "data", tuple(data.y.shape)), noise(i, "offset", (len(data.y),)))
            estimate = solve_data_step(data, prior_sample, r2, data_weight, num_cg, perturbation)
        else:
            estimate = prior_sample
        if on_step is not None:
            on_step(Step(i, s, mean, estimate))
        if last:
            return estimate
        next_level = float(levels[i + 1])
        ratio = next_level**2 / s**2
        x = estimate + ratio * (x - estimate)
        x += math.sqrt(next_level**2 * (1 - ratio)) * noise(i, "next", shape)
    raise AssertionError("a schedule has at least one level")


def draw_phase(noise: Noise, level: int) -> tuple[float, float]:
    """Draw the position of the tiles' borders at a level, uniform from 0 to 1 along y and x."""
    y, x = noise(level, "phase", (2,)).mul(0.70710678).erf().mul(0.5).add(0.5).tolist()
    return y, x


def solve_data_step(
    data: MeasurementModel,
    prior_mean: torch.Tensor,
    r2: float,
    data_weight: float,
    num_cg: int,
    perturbation: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> torch.Tensor:
    """Solve ``min_x data_weight (y - A x)^T W (y - A x) + |x - prior_mean|^2 / r2`` from ``prior_mean``.

    Conjugate gradients. A ``perturbation``, white noise for each ray and for each tilt's brightness, perturbs y by its noise.
    If ``prior_mean`` is drawn from the prior, the solution is then a draw from the product of both distributions (Papandreou
    and Yuille 2010).
    """
    A = data.A
    y = data.y
    if perturbation is not None:
        ray, tilt = perturbation
        brightness = math.sqrt(data.offset) * tilt[:, None, None] * (data.w > 0)
        y = y + (copy_in_layout(y, ray) * data.deviation + brightness) / math.sqrt(data_weight)
    r = A.T(data.weighted(y - A(prior_mean))).mul_(data_weight)

    def normal(v: torch.Tensor) -> torch.Tensor:
        return A.T(data.weighted(A(v))).mul_(data_weight).add_(v, alpha=1 / r2)

    return conjugate.solve_positive(normal, copy_in_layout(r, prior_mean), r, num_cg, RESIDUAL_TOLERANCE).contiguous()
