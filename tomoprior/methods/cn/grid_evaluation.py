"""Evaluate a network on all voxels of a slab, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from tomoprior.methods.cn.network import CoordinateNetwork

#: Largest size in bytes of the layers' outputs of one chunk of points, with their derivatives. A slab with more points is
#: evaluated twice an iteration: without a graph for the projections, and chunk by chunk for the derivatives.
ACTIVATION_BYTES = 2**28


def points_per_chunk(network: CoordinateNetwork) -> int:
    """Return the number of points to evaluate with a graph at once."""
    # torch keeps the outputs of a linear layer and of its activation, and needs one derivative in backward
    return max(1024, ACTIVATION_BYTES // (4 * 3 * network.features))


def cut_chunks(extent: tuple[int, int, int], points: int) -> Iterator[tuple[slice, slice]]:
    """Yield ranges of z and x that cut a slab into pieces of about ``points`` voxels, with all of y in each."""
    nz, ny, nx = extent
    across = min(nx, max(1, points // ny))
    along = max(1, points // (ny * across)) if across == nx else 1
    for z in range(0, nz, along):
        for x in range(0, nx, across):
            yield slice(z, min(z + along, nz)), slice(x, min(x + across, nx))


class GridEvaluation:
    """A network on all voxels of its slab: its outputs, and the derivatives of its weights from those of the outputs."""

    def __init__(self, network: CoordinateNetwork, device: torch.device) -> None:
        self.network = network
        self.extent = network.coordinates.extent
        self._axes = [torch.arange(n, dtype=torch.float64, device=device) for n in self.extent]
        self._pieces = list(cut_chunks(self.extent, points_per_chunk(network)))
        self._graph: torch.Tensor | None = None

    def values(self, *, graph: bool = True) -> torch.Tensor:
        """Return the network's outputs, ``(nz, ny, nx)`` with y fastest in memory, detached from autograd."""
        if len(self._pieces) == 1 and graph:
            with torch.enable_grad():
                self._graph = self._piece(*self._pieces[0])
            return self._graph.detach()
        self._graph = None
        nz, ny, nx = self.extent
        out = torch.empty(nz, nx, ny, device=self._axes[0].device).permute(0, 2, 1)
        with torch.no_grad():
            for z, x in self._pieces:
                out[z, :, x] = self._piece(z, x)
        return out

    def backward(self, slope: torch.Tensor) -> None:
        """Add the derivatives to the weights' gradients; ``slope`` is the derivative with respect to the outputs."""
        if self._graph is not None:
            torch.autograd.backward(self._graph, slope)
            self._graph = None
            return
        for z, x in self._pieces:
            with torch.enable_grad():
                piece = self._piece(z, x)
            torch.autograd.backward(piece, slope[z, :, x])

    def _piece(self, z: slice, x: slice) -> torch.Tensor:
        az, ay, ax = self._axes
        return self.network.on_grid(az[z], ay, ax[x])
