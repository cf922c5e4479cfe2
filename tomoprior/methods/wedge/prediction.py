"""The network on a whole volume: overlapping tiles, blended."""

from __future__ import annotations

import itertools

import torch

from tomoprior.methods.learning.tiles import starts, window
from tomoprior.methods.wedge.network import UNet

#: Share of a tile that it has in common with its neighbour at least, and over which one goes over into the next.
OVERLAP = 1 / 3


def predict(network: UNet, volume: torch.Tensor, tile: int) -> torch.Tensor:
    """What the network makes of a volume.

    Parameters
    ----------
    network
        From ``(1, z, y, x)`` to the same shape.
    volume
        ``(nz, ny, nx)``, no axis shorter than a cube that the network takes.
    tile
        Voxels along each axis that are worked on at once, a multiple of the network's. An axis that is shorter is taken whole,
        if it is such a multiple too.

    Returns
    -------
    volume
        ``(nz, ny, nx)``: a prediction that does not depend on where the tile lies comes out as it is, up to rounding.
    """
    edges = [min(tile, n - n % network.multiple) for n in volume.shape]
    firsts = [starts(n, edge, int(OVERLAP * edge)) for n, edge in zip(volume.shape, edges, strict=True)]
    weights, sums = [], []
    for n, edge, first in zip(volume.shape, edges, firsts, strict=True):
        w = window(edge, int(OVERLAP * edge)).to(volume)
        total = volume.new_zeros(n)
        for at in first:
            total[at : at + edge] += w
        weights.append(w)
        sums.append(total)
    out = torch.zeros_like(volume)
    with torch.no_grad():
        for corner in itertools.product(*firsts):
            box = tuple(slice(at, at + edge) for at, edge in zip(corner, edges, strict=True))
            found = network(volume[box][None])[0]
            # the weights over their sum are a product of the axes', as the tiles lie on a grid
            for axis, (w, total) in enumerate(zip(weights, sums, strict=True)):
                share = w / total[box[axis]]
                found *= share.reshape([-1 if i == axis else 1 for i in range(3)])
            out[box] += found
    return out
