"""What training networks takes: bytes at the peak, and time in pairs of a projection and an adjoint."""

from __future__ import annotations

import torch

from tomoprior.geometry import Geometry
from tomoprior.methods.cn import schedule
from tomoprior.methods.cn.grid_evaluation import ACTIVATION_BYTES
from tomoprior.methods.cn.network import CoordinateNetwork
from tomoprior.methods.cn.settings import CNSettings

#: Copies of a network's weights while it is trained: gradients, Adam's two or three averages, the best so far.
COPIES = 6
#: Arrays of a slab's size, and of its projections': values, volume, derivative, differences; residual, slope and temporaries.
SLAB_VOLUMES, SLAB_PROJECTIONS = 6, 4
#: Multiplications that a dense layer does while a sparse product does one (measured, with the sines).
DENSE = 7.0
#: Non-zero entries of the system matrix per tilt and voxel.
ENTRIES = 2.3


def _describe_slabs(geometry: Geometry, settings: CNSettings) -> tuple[int, int, CoordinateNetwork]:
    """Number of slabs, slices in one, and its network without memory."""
    nz, ny, nx = geometry.shape
    slices = schedule.count_slices(settings, geometry)
    with torch.device("meta"):
        network = CoordinateNetwork(settings, (nz, slices, nx))
    return len(schedule.cut_slabs(ny, slices)), slices, network


def estimate_memory(geometry: Geometry, settings: CNSettings) -> int:
    """Bytes beside the projections given and the prepared projector, on the padded grid."""
    nz, ny, nx = geometry.shape
    n, _, nu = geometry.range_shape
    count, slices, network = _describe_slabs(geometry, settings)
    weights = network.n_parameters * (COPIES + count)
    activations = min(3 * 4 * network.features * nz * slices * nx, ACTIVATION_BYTES)
    arrays = (2 * ny + SLAB_VOLUMES * slices) * nz * nx + (ny + SLAB_PROJECTIONS * slices) * n * nu
    return int(4 * (weights + arrays) + 1.5 * activations)


def estimate_cost_in_pairs(geometry: Geometry, settings: CNSettings) -> float:
    """Pairs of projection and adjoint on the padded grid."""
    count, slices, network = _describe_slabs(geometry, settings)
    dense = sum(layer.weight.numel() for layer in [*network.hidden, network.output])
    passes = 3.0 if 3 * 4 * network.features * geometry.shape[0] * slices * geometry.shape[2] <= ACTIVATION_BYTES else 4.0
    layers = 2 * passes * dense / (DENSE * 4 * ENTRIES * geometry.n_angles)
    return float(schedule.count_all_iterations(settings, count) * slices / geometry.shape[1] * (1 + layers))
