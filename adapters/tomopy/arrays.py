"""Conversion between TomoPy's arrays and tomoprior's.

TomoPy's sinograms are ``(slice, angle, column)`` and its volumes ``(slice, row, column)``. Projections of tomoprior are
``(angle, y, u)`` and its volumes ``(z, y, x)``. ``volume[z, y, x]`` is ``recon[y, z, x]``, without a flip.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.errors import SettingsError
from tomoprior.geometry import Geometry
from tomoprior.projector import Projector
from tomoprior.running.in_memory import run_method

from .options import Request

#: Held by one chunk at a time: torch uses all its threads for one, its random state is shared by all, and chunks that TomoPy
#: starts side by side would only compete for cores and memory.
_one_at_a_time = threading.Lock()


def edge_center(center: NDArray[Any], convention: str) -> NDArray[np.float64]:
    """Return the centre in pixels from the detector's edge.

    ``edge`` is the convention of TomoPy's iterative methods, ``tomopy.project`` and ASTRA. ``index`` is the convention of
    ``tomopy.find_center``, its relatives and ``gridrec``: the index of the axis, half a pixel less.
    """
    if convention not in ("edge", "index"):
        raise SettingsError(f"center_convention must be edge or index, got {convention!r}")
    return np.asarray(center, np.float64) + (0.5 if convention == "index" else 0.0)


def reconstruct_into(
    recon: NDArray[np.float32],
    sinograms: NDArray[np.float32],
    theta: NDArray[Any],
    center: NDArray[np.float64],
    request: Request,
    *,
    initial: NDArray[np.float32] | None,
    threads: int | None = None,
    progress: Any = None,
) -> None:
    """Reconstruct sinograms ``(slices, angles, columns)`` into ``recon`` ``(slices, rows, columns)``, in place."""
    slices, _, columns = sinograms.shape
    _, rows, width = recon.shape
    geometry = Geometry(np.asarray(theta, np.float64), (rows, slices, width), (slices, columns), center=center)
    with _one_at_a_time:
        projector = Projector(geometry, request.device, request.kind, request.backend)
        projections = torch.from_numpy(writable(sinograms)).permute(1, 0, 2).to(projector.device)
        start = None
        if initial is not None:
            start = torch.from_numpy(writable(initial)).permute(1, 0, 2).to(projector.device)
        result = run_method(
            request.method, projections, projector, request.settings, initial=start, seed=request.seed, threads=threads,
            progress=progress,
        )  # fmt: skip
        recon[...] = result.volume.permute(1, 0, 2).cpu().numpy()


def writable(array: NDArray[Any]) -> NDArray[np.float32]:
    """Return the array itself if torch can wrap it, else a copy; it is never written to."""
    return np.require(array, np.float32, ["W"])
