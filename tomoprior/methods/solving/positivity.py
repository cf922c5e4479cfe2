"""Decide whether the tilts allow a lower bound of zero: by their background, their brightness and their lowest values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.methods.solving.problem import Problem

#: Largest number of tilts that are examined, spread over the range.
TILTS = 16
#: Edges in pixels of the blocks whose means are judged. The smallest with noise of at most ``NOISE`` of the signal counts.
BLOCKS = (1, 2, 4, 8)
NOISE = 0.12
#: A level counts as zero within this share of the signal, plus ``SIGMAS`` standard deviations of the noise.
TOLERANCE, SIGMAS = 0.05, 3.0
#: Smallest share of blocks at zero, and largest share of blocks below it.
BACKGROUND, NEGATIVE = 0.1, 0.002
#: Smallest mean, as a share of the signal. Data from which the mean was subtracted have a mean of zero.
MEAN = 0.02
#: A section that fills every image is longer along tilted rays by 1 / cos. Smallest such growth of the path that can be judged,
#: and the share of it by which the brightness must grow, or may fall.
GROWTH, FOLLOWS, FALLS = 0.15, 0.5, 0.1


def resolve_bound(problem: Problem, settings: Any, settled: dict[str, Any]) -> Any:
    """Return settings whose ``min_constraint`` is a number or None; add the decision to ``settled`` if it was open.

    ``auto`` becomes 0 where ``allows_positivity`` is true, else None.
    """
    if getattr(settings, "min_constraint", None) != "auto":
        return settings
    settled["min_constraint"] = 0.0 if allows_positivity(problem) else None
    return settings.model_copy(update={"min_constraint": settled["min_constraint"]})


def allows_positivity(problem: Problem) -> bool:
    """Return True if the projections look like line integrals of a specimen without negative values.

    The signal is the 99th percentile of the blocks' means. It must exceed the noise, almost no block may lie below zero, and
    the mean of all must be positive. In addition, zero must be known: some blocks are at zero, because the surroundings are
    empty and the tilts about equally bright, or the brightness grows with the path through a tilted section. Images without
    their mean have a mean of zero. Bright-field images have no background at zero, or get darker with the path. Both give
    False.
    """
    p, angles = _sample_tilts(problem)
    noise = _estimate_noise(p)
    for means, pixels in _block_means(p):
        signal, sigma = _quantile(means.abs(), 0.99), noise / pixels**0.5
        if signal > 0 and sigma <= NOISE * signal:
            zero = TOLERANCE * signal + SIGMAS * sigma
            background = float((means.abs() <= zero).float().mean())
            negative = float((means < -zero).float().mean())
            growth, brightness = _compare_growth(p.mean((1, 2)).double().cpu().numpy(), angles)
            surroundings = background >= BACKGROUND and brightness >= -max(FALLS, FALLS * growth)
            section = growth >= GROWTH and brightness >= FOLLOWS * growth
            return (surroundings or section) and negative <= NEGATIVE and float(p.mean()) > MEAN * signal
    return False


def _compare_growth(brightness: NDArray[np.float64], angles: NDArray[np.float64]) -> tuple[float, float]:
    """Return the growth of the path, and of the brightness, from the least inclined third of the tilts to the most inclined."""
    path = 1 / np.maximum(np.abs(np.cos(angles)), 0.1)
    order, third = np.argsort(path, kind="stable"), -(-len(path) // 3)
    first, last = order[:third], order[-third:]
    level = brightness[first].mean()
    return float(path[last].mean() / path[first].mean() - 1), float(brightness[last].mean() / level - 1) if level > 0 else 0.0


def _sample_tilts(problem: Problem) -> tuple[torch.Tensor, NDArray[np.float64]]:
    """Return up to ``TILTS`` tilts that have a weight, in order of angle, and their angles."""
    order = problem.A.geometry.angles.argsort(kind="stable")
    if problem.weights is not None:
        weighted = (problem.weights > 0).flatten(1).any(1).cpu().numpy()
        order = order[weighted[order]]
    chosen = order[:: -(-len(order) // TILTS)].copy()
    return problem.data[torch.from_numpy(chosen).to(problem.data.device)], problem.A.geometry.angles[chosen]


def _estimate_noise(p: torch.Tensor) -> float:
    """Return the standard deviation of white noise, from the median of second differences along u."""
    if p.shape[-1] < 3:
        return 0.0
    bend = p[..., 2:] - 2 * p[..., 1:-1] + p[..., :-2]
    return 1.4826 * _quantile(bend.abs(), 0.5) / 6**0.5


def _block_means(p: torch.Tensor) -> Iterator[tuple[torch.Tensor, int]]:
    """Yield the means of blocks of growing size, flat, and the number of pixels of a block."""
    for edge in BLOCKS:
        size = (min(edge, p.shape[1]), min(edge, p.shape[2]))
        yield torch.nn.functional.avg_pool2d(p[:, None], size).flatten(), size[0] * size[1]


def _quantile(values: torch.Tensor, q: float) -> float:
    flat = values.flatten()
    return float(flat.kthvalue(max(1, round(q * flat.numel()))).values)
