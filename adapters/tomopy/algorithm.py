"""The callable for ``tomopy.recon``.

tomopy.recon(tomo, theta, center=c, algorithm=tomoprior.algorithm, options={"method": "sirt", "num_iter": 50})
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import InputError
from tomoprior.formats.angle_sources import degrees_note

from .arrays import edge_center, reconstruct_into
from .options import Request, parse

#: What TomoPy fills a volume with when the caller gives none.
_UNSET = np.float32(1e-6)


def algorithm(
    tomo: NDArray[np.float32],
    center: NDArray[np.float32],
    recon: NDArray[np.float32],
    theta: NDArray[np.float32],
    *,
    num_gridx: int | None = None,
    num_gridy: int | None = None,
    options: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> None:
    """Reconstruct one chunk of slices, as ``tomopy.recon`` calls its algorithms; writes into ``recon``.

    Parameters
    ----------
    tomo
        Sinograms ``(slices, angles, columns)``, or ``(angles, columns)`` of a single slice; not changed.
    center
        Rotation axis of each slice in pixels, ``(slices,)``; in the convention of TomoPy's iterative methods (index of the
        axis + 0.5) unless ``options["center_convention"]`` is ``"index"``, for a value from ``tomopy.find_center``.
    recon
        Written in place, ``(slices, num_gridx, num_gridy)``; values other than TomoPy's fill are the start of the iteration.
    theta
        Radians, ``(angles,)``.
    options
        ``method`` and its settings; also ``device``, ``kind``, ``backend``, ``center_convention``, and
        ``independent_chunks=True`` to let a method that couples slices run on each chunk by itself.
    kwargs
        Settings may stand here too, as ``num_iter``; what the method does not know is warned of and ignored.

    Raises
    ------
    InputError
        If the method couples slices and TomoPy gives it a part of the stack: ask ``tomopy.recon`` for ``ncore=1``.
    """
    del num_gridx, num_gridy  # the shape of recon says it
    request = parse(options or {}, kwargs)
    flat = tomo.ndim == 2
    sinograms, volume = (tomo[None], recon[None]) if flat else (tomo, recon)
    unset = bool(np.all(recon == _UNSET))
    _refuse_part(request, recon, unset=unset, flat=flat)
    for note in degrees_note(np.asarray(theta, np.float64)):
        warnings.warn(note, UserWarning, stacklevel=2)
    # `volume` is a view, so this writes into TomoPy's array; 2-D calls too
    reconstruct_into(
        volume, sinograms, theta, np.atleast_1d(edge_center(center, request.center_convention)),
        request.method, request.settings,
        initial=None if unset else np.array(volume), device=request.device, kind=request.kind, backend=request.backend,
    )  # fmt: skip


def _refuse_part(request: Request, recon: NDArray[np.float32], *, unset: bool, flat: bool) -> None:
    if not request.method.couples_slices or request.independent_chunks:
        return
    threads = int(os.environ.get("TOMOPY_PYTHON_THREADS", "1"))
    whole = recon.base
    # a part of TomoPy's own array; one that the caller gave may be a view of anything and says nothing
    part = unset and isinstance(whole, np.ndarray) and whole.ndim == 3 and whole.shape[0] > (1 if flat else recon.shape[0])
    if threads > 1 or part:
        raise InputError(
            f"{request.method.name} couples slices and was given a part of the stack: call tomopy.recon with ncore=1 "
            'and without nchunk, or accept chunks on their own with options["independent_chunks"] = True'
        )
