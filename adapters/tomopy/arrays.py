"""TomoPy's arrays and ours.

TomoPy's sinograms are ``(slice, angle, column)`` and its volumes ``(slice, row, column)``; ours are ``(angle, y, u)`` and
``(z, y, x)``. ``volume[z, y, x]`` is ``recon[y, z, x]``, without a flip.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.errors import SettingsError
from tomoprior.geometry import Geometry
from tomoprior.methods import Method, Settings
from tomoprior.projector import Projector
from tomoprior.projector.backends import Kind

#: torch uses all its threads for one call: chunks that TomoPy starts side by side would only fight over cores and memory
_one_at_a_time = threading.Lock()


def edge_center(center: NDArray[Any], convention: str) -> NDArray[np.float64]:
    """The centre in pixels from the detector's edge.

    ``edge`` is the convention of TomoPy's iterative methods, ``tomopy.project`` and ASTRA; ``index`` is what
    ``tomopy.find_center`` and its kin return and ``gridrec`` wants: the index of the axis, half a pixel less.
    """
    if convention not in ("edge", "index"):
        raise SettingsError(f"center_convention must be edge or index, got {convention!r}")
    return np.asarray(center, np.float64) + (0.5 if convention == "index" else 0.0)


def reconstruct_into(
    recon: NDArray[np.float32],
    sinograms: NDArray[np.float32],
    theta: NDArray[Any],
    center: NDArray[np.float64],
    method: Method,
    settings: Settings,
    *,
    initial: NDArray[np.float32] | None,
    device: str,
    kind: Kind,
    backend: str,
    progress: Any = None,
) -> None:
    """Reconstruct sinograms ``(slices, angles, columns)`` into ``recon`` ``(slices, rows, columns)``, in place."""
    slices, _, columns = sinograms.shape
    _, rows, width = recon.shape
    geometry = Geometry(np.asarray(theta, np.float64), (rows, slices, width), (slices, columns), center=center)
    with _one_at_a_time:
        projector = Projector(geometry, device, kind, backend)
        projections = torch.from_numpy(writable(sinograms)).permute(1, 0, 2).to(projector.device)
        start = None
        if initial is not None:
            start = torch.from_numpy(writable(initial)).permute(1, 0, 2).to(projector.device)
        result = method.reconstruct(projections, projector, settings, initial=start, progress=progress)
        recon[...] = result.volume.permute(1, 0, 2).cpu().numpy()


def writable(array: NDArray[Any]) -> NDArray[np.float32]:
    """The array itself if torch can wrap it, else a copy; what is given is never written to."""
    return np.require(array, np.float32, ["W"])
