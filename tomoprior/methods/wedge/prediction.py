"""The network on a whole volume: overlapping tiles whose predictions are blended."""

from __future__ import annotations

import itertools

import torch

from tomoprior.methods.learning.tiles import axis_tiles
from tomoprior.methods.wedge.network import FillNetwork

#: Smallest overlap of neighbouring tiles, as a share of a tile. Predictions are blended over the overlap.
OVERLAP = 1 / 3


def predict(network: FillNetwork, volume: torch.Tensor, tile_size: int) -> torch.Tensor:
    """Return the prediction of the network for a volume.

    Parameters
    ----------
    network
        Maps ``(1, z, y, x)`` to the same shape.
    volume
        ``(nz, ny, nx)``; no axis is shorter than the smallest cube that the network takes.
    tile_size
        Voxels along each axis that are predicted at once, a multiple of the network's ``multiple``. A shorter axis is taken
        whole if its length is such a multiple too.

    Returns
    -------
    ``(nz, ny, nx)``. A prediction that does not depend on the place of the tile is returned unchanged, up to rounding.
    """
    edges = [min(tile_size, n - n % network.multiple) for n in volume.shape]
    axes = [axis_tiles(n, edge, int(OVERLAP * edge), volume) for n, edge in zip(volume.shape, edges, strict=True)]
    out = torch.zeros_like(volume)
    with torch.no_grad():
        for (z, share_z), (y, share_y), (x, share_x) in itertools.product(*axes):
            prediction = network(volume[z, y, x][None])[0]
            prediction *= share_z[:, None, None]
            prediction *= share_y[:, None]
            prediction *= share_x
            out[z, y, x] += prediction
    return out
