"""Which slices share a network, in which order the networks are trained, for how long, and at what rate."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tomoprior.geometry import Geometry
from tomoprior.methods.cn.network import CoordinateNetwork
from tomoprior.methods.cn.settings import CNSettings

#: Weights to a measurement that the paper found best (Van Veen et al. 2024, section 4.2), and the slices that it allows.
WEIGHTS_PER_MEASUREMENT = 2
MIN_SLICES, MAX_SLICES = 2, 4


@dataclass(frozen=True)
class NetworkSlab:
    """The slices of one network.

    Attributes
    ----------
    start, stop
        Slices that it is fitted to. All networks are fitted to as many, so that one can start from another's weights.
    first, last
        Slices that are taken from it, ``first <= y < last``: fewer for a slab at the end, which overlaps its neighbour.
    """

    start: int
    stop: int
    first: int
    last: int


def choose_slices(n_parameters: int, n_angles: int, nu: int) -> int:
    """Slices that give a network about as many measurements as the paper does, from 2 to 4."""
    return min(max(round(n_parameters / (WEIGHTS_PER_MEASUREMENT * n_angles * nu)), MIN_SLICES), MAX_SLICES)


def count_slices(settings: CNSettings, geometry: Geometry) -> int:
    """Slices that share a network, on the padded grid."""
    nz, ny, nx = geometry.shape
    if settings.slices == "all":
        return ny
    if settings.slices != "auto":
        return min(settings.slices, ny)
    with torch.device("meta"):
        few = CoordinateNetwork(settings, (nz, min(ny, MIN_SLICES), nx))
    return min(choose_slices(few.n_parameters, geometry.n_angles, geometry.detector[1]), ny)


def cut_slabs(ny: int, thickness: int) -> list[NetworkSlab]:
    """Cut ``ny`` slices into slabs of ``thickness``, in order of y."""
    size = min(thickness, ny)
    return [
        NetworkSlab(min(first, ny - size), min(first, ny - size) + size, first, min(first + size, ny))
        for first in range(0, ny, size)
    ]


def training_order(n: int, *, refit: bool = False) -> list[tuple[int, int | None]]:
    """Slabs in the order of training, each with the one that it starts from: the middle first, then outwards by turns.

    With ``refit`` the middle follows once more after its first neighbour, from which it then starts, so that all slabs end with
    a warm-started fit, as in the paper's released procedure. That a slab without neighbours starts from itself is our reading.
    """
    middle = n // 2
    out: list[tuple[int, int | None]] = [(middle, None)]
    for distance in range(1, n):
        for side in (-1, 1):
            at = middle + side * distance
            if 0 <= at < n:
                out.append((at, at - side))
    if refit:
        out.insert(min(n, 2), (middle, max(middle - 1, 0)))
    return out


def count_iterations(settings: CNSettings, *, first: bool) -> int:
    """Iterations of a network, without those that choose when to stop."""
    return settings.num_iter if first or not settings.warm_start else settings.num_iter_next


def refits_first(settings: CNSettings) -> bool:
    """Whether the first network is fitted a second time."""
    return settings.refit and settings.warm_start


def count_all_iterations(settings: CNSettings, n_slabs: int) -> int:
    """Iterations of all networks, at most."""
    warm = n_slabs - 1 + refits_first(settings)
    once = count_iterations(settings, first=True) + warm * count_iterations(settings, first=False)
    return once * (2 if settings.stop == "held-out" else 1)


def learning_rate_factor(iteration: int, num_iter: int, decay: float) -> float:
    """What the learning rate is multiplied by in ``iteration`` (from 0): 1 in the first half, then falling to ``decay``.

    Log-linear, as in the paper's released settings.
    """
    half = num_iter / 2
    return float(decay ** (max(0.0, iteration - half) / max(half - 1, 1)))
