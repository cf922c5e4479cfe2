"""What training and predicting take: bytes at the peak, and time in pairs of a projection and an adjoint."""

from __future__ import annotations

import math

from tomoprior.geometry import Geometry
from tomoprior.methods.wedge import start
from tomoprior.methods.wedge.cubes import MARGIN
from tomoprior.methods.wedge.prediction import OVERLAP
from tomoprior.methods.wedge.settings import WedgeSettings

#: Bytes per voxel and channel of the finest level that a training step holds, and a prediction.
TRAINED, PREDICTED = 10.0, 6.0
#: What convolutions take besides at least, and the allocator keeps, of a step and of a prediction (measured).
LEAST = 48 * 2**20
#: Arrays of the working grid's size while a round ends.
VOLUMES = 4.0
#: Multiplications that a convolution does while a sparse product does one (measured), and non-zero entries of the system
#: matrix per tilt and voxel.
DENSE, ENTRIES = 4.0, 2.3


def _per_voxel(settings: WedgeSettings) -> float:
    """Multiplications of the network per voxel."""
    w, total = settings.width, 0.0
    for level in range(settings.levels):
        convolutions = 4 if level < settings.levels - 1 else 2
        total += 27 * convolutions * (w * 2**level) ** 2 / 8 ** (level + 1)
    return total + 2 * 27 * 8 * w / 8


def memory(geometry: Geometry, settings: WedgeSettings) -> int:
    """Bytes beside the projections given and the prepared projector."""
    room = start.WorkingGrid.of(geometry, settings.cube_size + 2 * MARGIN)
    begin = start.method(settings.start)
    first = begin.memory(room.geometry, begin.Settings())
    volume = 4 * math.prod(room.shape)
    tile = math.prod(min(settings.tile_size, n) for n in room.shape)
    layers = max(LEAST, PREDICTED * settings.width * tile)
    if settings.network is None:
        layers += max(LEAST, TRAINED * settings.width * settings.batch_size * settings.cube_size**3)
    rays = 8 * math.prod(geometry.range_shape)
    return int(layers + max(first, VOLUMES * volume + rays))


def cost_in_pairs(geometry: Geometry, settings: WedgeSettings) -> float:
    """Pairs of projection and adjoint on the grid that was asked for."""
    room = start.WorkingGrid.of(geometry, settings.cube_size + 2 * MARGIN)
    begin = start.method(settings.start)
    asked = math.prod(geometry.shape)
    wider = math.prod(room.shape) / asked
    per_voxel = _per_voxel(settings) / (DENSE * 2 * ENTRIES * geometry.n_angles)
    predicted = wider * (1 + OVERLAP) ** 3
    if settings.network is None:
        trained = 3 * settings.total * settings.batch_size * settings.cube_size**3 / asked
        predicted *= settings.num_iter
    else:
        trained = 0.0
    return float(begin.cost_in_pairs(room.geometry, begin.Settings()) * wider + (trained + predicted) * per_voxel)
