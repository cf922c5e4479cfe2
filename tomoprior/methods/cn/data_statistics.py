"""What can be read off the projections before any fit: their spread, their noise and the level of most of the volume."""

from __future__ import annotations

import torch

from tomoprior.methods.solving.problem import Problem

#: Values looked at for a median.
SAMPLE = 1_000_000


def measure_spread(problem: Problem) -> float:
    """Weighted standard deviation of the projections."""
    p, w = problem.data.double(), problem.weights
    if w is None:
        return float(p.std(correction=0))
    total = w.expand_as(p).double().sum()
    mean = (p * w).sum() / total
    return float(((p - mean).square_().mul_(w).sum() / total).sqrt())


def estimate_noise(problem: Problem) -> float:
    """Standard deviation of white noise in the projections: from second differences along u, of which objects have few."""
    p, w = problem.data, problem.weights
    if p.shape[2] < 3:
        return 0.0
    second = (p[..., 2:] - 2 * p[..., 1:-1] + p[..., :-2]).abs_()
    if w is not None:
        trusted = w.expand_as(p) > 0
        second = second[trusted[..., 2:] & trusted[..., 1:-1] & trusted[..., :-2]]
    second = second.reshape(-1)
    if not second.numel():
        return 0.0
    # the median of a normal distribution's absolute value is 0.6745 of its standard deviation
    return float(second[:: max(1, second.numel() // SAMPLE)].median()) / (0.6745 * 6**0.5)


def estimate_level(problem: Problem) -> float:
    """The level of most of the volume: the median projection over the median path, of rays that see most of the grid."""
    path = problem.A(problem.apply_mask_(torch.ones_like(problem.x)))
    inside = path > 0.5 * path.amax()
    if problem.weights is not None:
        inside &= problem.weights.expand_as(path) > 0
    if not bool(inside.any()):
        return 0.0
    return max(float(problem.data[inside].median() / path[inside].median()), 0.0)
