"""Samples of the network's own distribution: the probability flow from noise to tissue."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from tomoprior.methods.diffusion.sampler import Denoise, Noise, Step, draw_phase


def follow_flow(
    denoise: Denoise,
    start: torch.Tensor,
    levels: Sequence[float],
    noise: Noise,
    on_step: Callable[[Step], None] | None = None,
) -> torch.Tensor:
    """Draw one sample: from ``start`` plus noise of the first level down to no noise, along the denoiser's estimates.

    The second-order multistep solver DPM-Solver++(2M) of Lu et al., arXiv:2211.01095, algorithm 2, in EDM's variables: one
    pass of the network per level.

    Parameters
    ----------
    denoise
        Returns the mean of the clean volume given a noisy one. If it is conditioned on a series, the sample is from the
        posterior.
    start
        Centre of the distribution at the first level; the volumes' standard deviation must be small compared with that level.
    levels
        Noise levels, falling.
    noise
        Returns the random numbers.
    on_step
        Called after every level.
    """
    x = start + levels[0] * noise(0, "start", tuple(start.shape))
    previous: tuple[float, torch.Tensor] | None = None  # the last step in log(sigma), and its estimate
    for i, s in enumerate(levels):
        estimate = denoise(x, s, draw_phase(noise, i))
        next_level = levels[i + 1] if i + 1 < len(levels) else 0.0
        if next_level == 0.0:
            x = estimate
        else:
            h = math.log(s / next_level)
            extrapolated = estimate
            if previous is not None:
                share = h / (2 * previous[0])
                extrapolated = (1 + share) * estimate - share * previous[1]
            x = (next_level / s) * x + (1 - next_level / s) * extrapolated
            previous = (h, estimate)
        if on_step is not None:
            on_step(Step(i, s, estimate, x))
    return x
