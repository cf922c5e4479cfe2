"""What a run will cost, before it starts: memory from formulas, time from a small product measured here and now."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tomoprior.geometry import Geometry
from tomoprior.methods.base import Method
from tomoprior.projector import Projector
from tomoprior.projector.backends import Cost

#: Side of the small problem that is timed, its slices, and its tilts at most.
SAMPLE, SLICES, TILTS = 128, 16, 61


@dataclass(frozen=True)
class Memory:
    """Bytes of projections and result, of the prepared projector, of the method's own arrays."""

    data: int
    projector: int
    method: int

    @property
    def memory(self) -> int:
        """Bytes in all."""
        return self.data + self.projector + self.method


@dataclass(frozen=True)
class Estimate(Memory):
    """The same, and seconds in all."""

    seconds: float


def needed(method: Method, projector: Projector, settings: Any) -> Memory:
    """Memory of ``method`` with this projector, by formulas alone: takes no time."""
    geometry = projector.geometry
    data = 4 * (int(np.prod(geometry.domain_shape)) + int(np.prod(geometry.range_shape)))
    return Memory(data, _cost(method, projector).bytes, method.memory(geometry, settings))


def estimate(method: Method, projector: Projector, settings: Any) -> Estimate:
    """Memory and time of ``method`` with this projector; takes about a tenth of a second."""
    geometry = projector.geometry
    found = needed(method, projector, settings)
    pair = _pair_rate(projector) * _size(geometry)
    seconds = _cost(method, projector).seconds + pair * method.cost_in_pairs(geometry, settings)
    return Estimate(found.data, found.projector, found.method, seconds)


def _cost(method: Method, projector: Projector) -> Cost:
    return projector.cost if method.uses_projector else Cost(0, 0.0)


def _size(geometry: Geometry) -> float:
    """What a pair of products grows with: voxels times tilts."""
    return float(np.prod(geometry.domain_shape)) * geometry.n_angles


def _pair_rate(projector: Projector) -> float:
    """Seconds of a forward projection and an adjoint, per voxel and tilt, on a small piece of the same kind."""
    full = projector.geometry
    nz, ny, nx = (min(n, limit) for n, limit in zip(full.shape, (SAMPLE, SLICES, SAMPLE), strict=True))
    piece = Geometry(full.angles[:: -(-full.n_angles // TILTS)], (nz, ny, nx), (ny, min(full.detector[1], SAMPLE)))
    small = Projector(piece, projector.device, projector.kind, projector.backend)
    x = torch.ones(piece.domain_shape, device=projector.device)
    best = float("inf")
    for _ in range(3):  # the first also builds the matrix
        started = time.perf_counter()
        y = small.T(small(x))
        float(y[0, 0, 0])  # waits for a GPU
        best = min(best, time.perf_counter() - started)
    return best / _size(piece)
