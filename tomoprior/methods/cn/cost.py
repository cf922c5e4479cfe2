"""Cost of training networks: bytes at the peak, and time in pairs of a forward projection and an adjoint."""

from __future__ import annotations

import torch

from tomoprior.geometry import Geometry
from tomoprior.methods.cn import schedule
from tomoprior.methods.cn.grid_evaluation import ACTIVATION_BYTES
from tomoprior.methods.cn.network import CoordinateNetwork
from tomoprior.methods.cn.settings import NetworkSettings

#: Copies of a network's weights during training: gradients, Adam's two or three averages, the best weights so far.
COPIES = 6
#: Arrays of a slab's size (values, volume, derivative, differences) and of its projections' size (residual, slope,
#: temporaries).
SLAB_VOLUMES, SLAB_PROJECTIONS = 6, 4
#: Multiplications of a dense layer in the time of one multiplication of a sparse product (measured, with the sines).
DENSE = 7.0
#: Non-zero entries of the system matrix per tilt and voxel.
ENTRIES = 2.3


def _describe_slabs(geometry: Geometry, settings: NetworkSettings) -> tuple[int, int, CoordinateNetwork]:
    """Return the number of slabs, the slices in one, and its network, without allocating memory."""
    nz, ny, nx = geometry.shape
    slices = schedule.count_slices(settings, geometry)
    with torch.device("meta"):
        network = CoordinateNetwork(settings, (nz, slices, nx))
    return len(schedule.cut_slabs(ny, slices)), slices, network


def estimate_memory(geometry: Geometry, settings: NetworkSettings) -> int:
    """Return the bytes at the peak on the padded grid, without the given projections and the prepared projector."""
    nz, ny, nx = geometry.shape
    n, _, nu = geometry.range_shape
    count, slices, network = _describe_slabs(geometry, settings)
    weights = network.n_parameters * (COPIES + count)
    activations = min(3 * 4 * network.features * nz * slices * nx, ACTIVATION_BYTES)
    arrays = (2 * ny + SLAB_VOLUMES * slices) * nz * nx + (ny + SLAB_PROJECTIONS * slices) * n * nu
    return int(4 * (weights + arrays) + 1.5 * activations)


def estimate_cost_in_pairs(geometry: Geometry, settings: NetworkSettings) -> float:
    """Return the cost in pairs of a forward projection and an adjoint on the padded grid."""
    count, slices, network = _describe_slabs(geometry, settings)
    dense = sum(layer.weight.numel() for layer in [*network.hidden, network.output])
    passes = 3.0 if 3 * 4 * network.features * geometry.shape[0] * slices * geometry.shape[2] <= ACTIVATION_BYTES else 4.0
    layers = 2 * passes * dense / (DENSE * 4 * ENTRIES * geometry.n_angles)
    return float(schedule.count_all_iterations(settings, count) * slices / geometry.shape[1] * (1 + layers))
