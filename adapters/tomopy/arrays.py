"""Conversion between TomoPy's arrays and tomoprior's.

TomoPy's sinograms are ``(slice, angle, column)`` and its volumes ``(slice, row, column)``. Projections of tomoprior are
``(angle, y, u)`` and its volumes ``(z, y, x)``. ``volume[z, y, x]`` is ``recon[y, z, x]``, without a flip.
"""

from __future__ import annotations

import os
import threading
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from tomoprior.errors import ResultWarning, SettingsError
from tomoprior.geometry import Geometry
from tomoprior.projector import Projector
from tomoprior.running.doubts import warn_of_doubts
from tomoprior.running.in_memory import run_method
from tomoprior.storage.arrays import to_float32

from .centers import describe_convention
from .options import Request

#: Held by one chunk at a time: torch uses all its threads for one, its random state is shared by all, and chunks that TomoPy
#: starts side by side would only compete for cores and memory.
_one_at_a_time = threading.Lock()


def _renew_lock() -> None:
    """Replace the lock in a forked process: a thread of the parent may hold it, and would never release it there."""
    global _one_at_a_time
    _one_at_a_time = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


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
    theta: ArrayLike,
    center: NDArray[np.float64],
    request: Request,
    *,
    initial: NDArray[np.float32] | None,
    weights: NDArray[np.float32] | None = None,
    threads: int | None = None,
    progress: Any = None,
    is_center_given: bool = True,
) -> None:
    """Reconstruct sinograms ``(slices, angles, columns)`` into ``recon`` ``(slices, rows, columns)``, in place.

    ``weights`` are per tilt, ``(angles,)``, or per pixel, ``(angles, slices, columns)``.
    """
    slices, _, columns = sinograms.shape
    _, rows, width = recon.shape
    geometry = Geometry(theta, (rows, slices, width), (slices, columns), center=center)
    if (
        is_center_given
        and request.center_convention == "edge"
        and (line := describe_convention(sinograms, geometry.angles, geometry.center))
    ):
        warnings.warn(line, ResultWarning, stacklevel=4)
    with _one_at_a_time:
        projector = Projector(geometry, request.device, request.kind, request.backend)
        projections = torch.from_numpy(to_float32(sinograms, contiguous=False)).permute(1, 0, 2).to(projector.device)
        start = None
        if initial is not None:
            start = torch.from_numpy(to_float32(initial, contiguous=False)).permute(1, 0, 2).to(projector.device)
        result = run_method(
            request.method, projections, projector, request.settings, initial=start, seed=request.seed, threads=threads,
            progress=progress, weights=None if weights is None else torch.from_numpy(weights).to(projector.device),
        )  # fmt: skip
        warn_of_doubts(projections, geometry, {"settings": request.settings.model_dump(), **result.provenance}, stacklevel=4)
        recon[...] = result.volume.permute(1, 0, 2).cpu().numpy()
