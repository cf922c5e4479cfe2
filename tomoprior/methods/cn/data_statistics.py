"""Statistics of the projections before any fit: their spread, their noise, and the level of most of the volume."""

from __future__ import annotations

import torch

from tomoprior.methods.solving.problem import Problem

#: Values in the sample for a median.
SAMPLE = 1_000_000


def measure_spread(problem: Problem) -> float:
    """Return the weighted standard deviation of the projections."""
    data, weights = problem.data.double(), problem.weights
    if weights is None:
        return float(data.std(correction=0))
    total = weights.expand_as(data).double().sum()
    mean = (data * weights).sum() / total
    return float(((data - mean).square_().mul_(weights).sum() / total).sqrt())


def estimate_noise(problem: Problem) -> float:
    """Estimate the standard deviation of white noise in the projections from second differences along u.

    The second differences of most objects are small against those of white noise.
    """
    data, weights = problem.data, problem.weights
    if data.shape[2] < 3:
        return 0.0
    second = (data[..., 2:] - 2 * data[..., 1:-1] + data[..., :-2]).abs_()
    if weights is not None:
        used = weights.expand_as(data) > 0
        second = second[used[..., 2:] & used[..., 1:-1] & used[..., :-2]]
    second = second.reshape(-1)
    if not second.numel():
        return 0.0
    # the median of a normal distribution's absolute value is 0.6745 of its standard deviation
    return float(second[:: max(1, second.numel() // SAMPLE)].median()) / (0.6745 * 6**0.5)


def estimate_level(problem: Problem) -> float:
    """Estimate the level per voxel of most of the volume: median projection over median path of long rays."""
    path = problem.A(problem.apply_mask_(torch.ones_like(problem.x)))
    inside = path > 0.5 * path.amax()
    if problem.weights is not None:
        inside &= problem.weights.expand_as(path) > 0
    if not bool(inside.any()):
        return 0.0
    return max(float(problem.data[inside].median() / path[inside].median()), 0.0)
