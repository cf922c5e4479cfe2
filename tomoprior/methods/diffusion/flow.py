"""Samples of what the network itself takes for possible: the probability flow from noise to tissue."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from tomoprior.methods.diffusion.sampler import Denoise, Noise, Step


def follow_flow(
    denoise: Denoise,
    start: torch.Tensor,
    levels: Sequence[float],
    noise: Noise,
    each: Callable[[Step], None] | None = None,
) -> torch.Tensor:
    """One sample: from ``start`` with noise of the first level down to none, as the denoiser's estimates lead.

    The second-order multistep solver DPM-Solver++(2M) of Lu et al., arXiv:2211.01095, algorithm 2, in EDM's variables: one
    pass of the network a level.

    Parameters
    ----------
    denoise
        The mean of the clean volume given a noisy one; told of a series, the samples are of its posterior.
    start
        Centre of the first level's volumes, whose spread must be small beside that level.
    levels
        Noise levels, falling.
    noise
        Gives the random numbers.
    each
        Called after every level.
    """
    x = start + levels[0] * noise(0, "start", tuple(start.shape))
    previous: tuple[float, torch.Tensor] | None = None  # the last step in log(sigma), and its estimate
    for i, s in enumerate(levels):
        phases = noise(i, "phase", (2,)).mul(0.70710678).erf().mul(0.5).add(0.5)
        estimate = denoise(x, s, (float(phases[0]), float(phases[1])))
        following = levels[i + 1] if i + 1 < len(levels) else 0.0
        if following == 0.0:
            x = estimate
        else:
            h = math.log(s / following)
            towards = estimate
            if previous is not None:
                share = h / (2 * previous[0])
                towards = (1 + share) * estimate - share * previous[1]
            x = (following / s) * x + (1 - following / s) * towards
            previous = (h, estimate)
        if each is not None:
            each(Step(i, s, estimate, x))
    return x
