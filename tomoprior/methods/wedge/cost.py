"""Cost of training and predicting: bytes at the peak, and time in pairs of a projection and an adjoint."""

from __future__ import annotations

import math

from tomoprior.geometry import Geometry
from tomoprior.methods.wedge import start
from tomoprior.methods.wedge.cubes import MARGIN
from tomoprior.methods.wedge.prediction import OVERLAP
from tomoprior.methods.wedge.settings import WedgeSettings

#: Bytes per voxel and channel of the finest level that a training step and a prediction hold.
TRAINED, PREDICTED = 10.0, 6.0
#: Least bytes of a step, and of a prediction, that convolutions take and the allocator keeps (measured).
LEAST = 64 * 2**20
#: Arrays of the size of the working grid at the end of a round.
VOLUMES = 4.0
#: Multiplications of a convolution in the time of one of a sparse product (measured), and non-zero entries of the system matrix
#: per tilt and voxel.
DENSE, ENTRIES = 4.0, 2.3


def _per_voxel(settings: WedgeSettings) -> float:
    """Return the network's multiplications per voxel."""
    w, total = settings.width, 0.0
    for level in range(settings.depth):
        convolutions = 4 if level < settings.depth - 1 else 2
        total += 27 * convolutions * (w * 2**level) ** 2 / 8 ** (level + 1)
    return total + 2 * 27 * 8 * w / 8


def memory(geometry: Geometry, settings: WedgeSettings) -> int:
    """Return the bytes at the peak, without the projections and the prepared projector."""
    grid = start.WorkingGrid.for_cubes(geometry, settings.cube_size + 2 * MARGIN)
    starter = start.start_method(settings.choose_start())
    first = starter.memory(grid.geometry, starter.Settings())
    volume = 4 * math.prod(grid.shape)
    tile = math.prod(min(settings.tile_size, n) for n in grid.shape)
    layers = max(LEAST, PREDICTED * settings.width * tile)
    if settings.network is None:
        layers += max(LEAST, TRAINED * settings.width * settings.batch_size * settings.cube_size**3)
    rays = 8 * math.prod(geometry.range_shape)
    volumes = 2 * VOLUMES if settings.halves else VOLUMES
    return int(layers + max(first, volumes * volume + rays))


def cost_in_pairs(geometry: Geometry, settings: WedgeSettings) -> float:
    """Return the time in pairs of projection and adjoint on the requested grid."""
    grid = start.WorkingGrid.for_cubes(geometry, settings.cube_size + 2 * MARGIN)
    starter = start.start_method(settings.choose_start())
    requested = math.prod(geometry.shape)
    wider = math.prod(grid.shape) / requested
    per_voxel = _per_voxel(settings) / (DENSE * 2 * ENTRIES * geometry.n_angles)
    predicted = wider * (1 + OVERLAP) ** 3
    if settings.network is None:
        trained = 3 * settings.total_steps * settings.batch_size * settings.cube_size**3 / requested
        predicted *= settings.num_iter * (2 if settings.halves else 1)
    else:
        trained = 0.0
    return float(starter.cost_in_pairs(grid.geometry, starter.Settings()) * wider + (trained + predicted) * per_voxel)
