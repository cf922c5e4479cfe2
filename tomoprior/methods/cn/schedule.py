"""Schedule of training: slices per network, order of the networks, numbers of iterations, and learning rates."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tomoprior.geometry import Geometry
from tomoprior.methods.cn.network import CoordinateNetwork
from tomoprior.methods.cn.settings import NetworkSettings

#: Best number of weights per measurement in the paper (Van Veen et al. 2024, section 4.2), and the slices that it allows.
WEIGHTS_PER_MEASUREMENT = 2
MIN_SLICES, MAX_SLICES = 2, 4


@dataclass(frozen=True)
class NetworkSlab:
    """The slices of one network.

    Attributes
    ----------
    start, stop
        Slices that it is fitted to: the same number for all networks, so that one can start from another's weights.
    first, last
        Slices of the volume that it provides, ``first <= y < last``: fewer for a slab at the end, which overlaps its
        neighbour.
    """

    start: int
    stop: int
    first: int
    last: int


def choose_slices(n_parameters: int, n_angles: int, nu: int) -> int:
    """Return the number of slices, from 2 to 4, that gives a network about as many measurements as in the paper."""
    return min(max(round(n_parameters / (WEIGHTS_PER_MEASUREMENT * n_angles * nu)), MIN_SLICES), MAX_SLICES)


def count_slices(settings: NetworkSettings, geometry: Geometry) -> int:
    """Return the number of slices that share a network, on the padded grid."""
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
    """Return the slabs in the order of training, each with the slab that it starts from: the middle, then outwards by turns.

    With ``refit`` the middle slab is trained again after its first neighbour, from whose weights it then starts. All slabs thus
    end with a warm-started fit, as in the paper's released procedure. That a slab without neighbours starts from itself is our
    interpretation.
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


def count_iterations(settings: NetworkSettings, *, first: bool) -> int:
    """Return the iterations of one network, without those that choose when to stop."""
    return settings.num_iter if first or not settings.warm_start else settings.num_iter_next


def refits_first(settings: NetworkSettings) -> bool:
    """Return True if the first network is fitted a second time."""
    return settings.refit and settings.warm_start


def count_all_iterations(settings: NetworkSettings, n_slabs: int) -> int:
    """Return the largest number of iterations of all networks together."""
    warm = n_slabs - 1 + refits_first(settings)
    once = count_iterations(settings, first=True) + warm * count_iterations(settings, first=False)
    return once * (2 if settings.stop == "held-out" else 1)


def learning_rate_factor(iteration: int, num_iter: int, decay: float) -> float:
    """Return the factor of the learning rate in ``iteration`` (from 0): 1 in the first half, then falling to ``decay``.

    It falls log-linearly, as in the paper's released settings.
    """
    half = num_iter / 2
    return float(decay ** (max(0.0, iteration - half) / max(half - 1, 1)))
