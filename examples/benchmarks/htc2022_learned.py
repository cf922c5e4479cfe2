"""A network that knows such discs: from a fan-beam scan of a limited range to the probability of a hole in each voxel.

The network sees the holes as bounded least squares fit them, its own estimate of the pass before, and that estimate after a
few steps towards the data. Each pass therefore starts from an image that the data and the last pass agree on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from htc2022_holes import Holes
from numpy.typing import NDArray
from scipy.ndimage import zoom
from torch import nn

import tomoprior
from tomoprior.methods.learning.state import check_arrays
from tomoprior.methods.learning.unet import Shape, UNet
from tomoprior.storage.tensors import load_tensors

#: Voxels along an edge of the grid.
SIZE = 128
#: Views are those of every so many in the scan.
STRIDE = 2
#: Iterations of bounded least squares from zero, and from an estimate.
FIRST, NEXT = 30, 8
#: Iterations from the last estimate on the grid of the result, and voxels along its edge.
REFINEMENT, FINAL_SIZE = 48, 256
#: Passes of the network.
PASSES = 3
#: Logits ``(z, slices, x)`` for four images, the range in degrees, and whether it is the first pass.
Network = Callable[[torch.Tensor, float, bool], torch.Tensor]
#: Weights, and the name of their header.
WEIGHTS, KEY = Path(__file__).with_name("htc2022.safetensors"), "htc2022"


class HoleNetwork(nn.Module):
    """A U-Net of single slices, conditioned on the range of the tilts and on the number of the pass."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = UNet(4, 3, Shape((32, 64, 96, 96), (1, 2, 2, 1), embedding=32, flat=True))

    def forward(self, images: torch.Tensor, degrees: float, first: bool) -> torch.Tensor:
        """Return logits ``(z, slices, x)`` for four images ``(4, z, slices, x)``; slices are independent."""
        slices = images.shape[2]
        features = torch.tensor([degrees / 90, 30 / degrees, float(first)]).expand(slices, 3)
        batch = images.permute(2, 0, 1, 3)[:, :, :, None].contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast("cpu", torch.bfloat16):
            out: torch.Tensor = self.unet(batch, features)
        return out[:, 0, :, 0].permute(1, 0, 2).float()


class BoundedFit:
    """Least squares with values from 0 to 1, and 0 outside the disc, for some slices.

    Parameters
    ----------
    data
        Projections of the holes in voxel units, ``(views, slices, pixels)``.
    geometry
        Geometry of ``(z, slices, x)`` voxels, turned so that the middle of the range is 0.
    distances
        Distances of the voxels from the edge of the disc in voxels, negative inside, ``(z, slices, x)``.
    """

    def __init__(self, data: torch.Tensor, geometry: tomoprior.Geometry, distances: torch.Tensor) -> None:
        self.data, self.inside = data, (distances <= -1).float()
        self.A = tomoprior.Projector(geometry, "cpu", backend="astra-matrix")
        self.rays = self.A(torch.ones(self.A.domain_shape)).clamp_min(1).reciprocal()
        self.voxels = self.A.T(torch.ones(self.A.range_shape)).clamp_min(1).reciprocal()

    def fit(self, x: torch.Tensor, num_iter: int) -> torch.Tensor:
        """Return the volume after some steps from ``x`` with the weights of SIRT (FISTA)."""
        y, t = x, 1.0
        for _ in range(num_iter):
            step = self.A.T(self.rays * (self.A(y) - self.data)) * self.voxels
            new = (y - step).clamp_(0, 1) * self.inside
            t, last = (1 + (1 + 4 * t * t) ** 0.5) / 2, t
            x, y = new, new + (last - 1) / t * (new - x)
        return x


class HoleModel(BoundedFit):
    """Data, operator and disc of some slices, and the passes of the network over them; parameters as of ``BoundedFit``."""

    def __init__(self, data: torch.Tensor, geometry: tomoprior.Geometry, distances: torch.Tensor) -> None:
        super().__init__(data, geometry, distances)
        self.degrees = geometry.n_angles - 1.0
        self.depth = distances.clamp(-16, 16) / 16
        self.linear = self.fit(torch.zeros(self.A.domain_shape), FIRST)

    def images(self, estimate: torch.Tensor | None) -> torch.Tensor:
        """Return what the network sees, ``(4, z, slices, x)``."""
        if estimate is None:
            return torch.stack([self.linear, self.linear, self.linear, self.depth])
        return torch.stack([self.linear, estimate, self.fit(estimate, NEXT), self.depth])

    @torch.no_grad()
    def estimate(self, network: Network, passes: int = PASSES) -> torch.Tensor:
        """Return the probability of a hole, ``(z, slices, x)``."""
        estimate = None
        for _ in range(passes):
            logits = network(self.images(estimate), self.degrees, estimate is None)
            estimate = torch.sigmoid(logits) * self.inside
        assert estimate is not None
        return estimate


def estimate_holes(holes: Holes, network: Network) -> NDArray[np.float32]:
    """Return the probability of a hole in each voxel, ``(z, x)``: the mean over the disc and its mirror image along x.

    Both have the same tilts, since the middle of the range is 0.
    """
    data = torch.from_numpy(holes.projections)
    distances = torch.from_numpy(holes.distances().astype(np.float32))
    model = HoleModel(
        torch.stack([data, data.flip(0, 1)], 1), with_slices(holes.geometry, 2), torch.stack([distances, distances.flip(1)], 1)
    )
    estimate = model.estimate(network)
    return ((estimate[:, 0] + estimate[:, 1].flip(1)) / 2).numpy()


def refine_holes(holes: Holes, estimate: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the density of the holes on the grid of ``holes``: steps towards the data from an estimate on a coarser grid."""
    factor = holes.geometry.shape[0] / len(estimate)
    start = torch.from_numpy(zoom(estimate, factor, order=1, mode="nearest", grid_mode=True))[:, None]
    distances = torch.from_numpy(holes.distances().astype(np.float32))[:, None]
    fit = BoundedFit(torch.from_numpy(holes.projections)[:, None], holes.geometry, distances)
    return fit.fit(start, REFINEMENT)[:, 0].numpy()


def with_slices(geometry: tomoprior.Geometry, slices: int) -> tomoprior.Geometry:
    """Return the geometry of several independent slices."""
    nz, _, nx = geometry.shape
    return replace(geometry, shape=(nz, slices, nx), detector=(slices, geometry.detector[1]))


def load_network(path: Path = WEIGHTS) -> HoleNetwork:
    """Return the trained network."""
    _, arrays = load_tensors(path, KEY, "a network of htc2022_train.py", "")
    network = HoleNetwork()
    arrays = {name: array.float() for name, array in arrays.items()}
    check_arrays(dict(network.state_dict()), arrays)
    network.load_state_dict(arrays)
    return network.eval().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload, no-any-return]
