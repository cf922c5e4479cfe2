"""The callable that ``tomopy.recon`` takes as its algorithm."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import InputError
from tomoprior.storage.arrays import detach, split_mask

from . import stack
from .arrays import edge_center, reconstruct_into
from .options import Request, parse

#: The value that TomoPy fills a new volume with.
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
    """Reconstruct one chunk of slices into ``recon``; ``tomopy.recon`` calls it like its own algorithms.

    The first call reconstructs all slices where the arrays are views of those of the whole stack: this is as fast as one call,
    and methods that couple slices see their neighbours. Calls for the other chunks return at once.

    Parameters
    ----------
    tomo
        Sinograms ``(slices, angles, columns)``, or ``(angles, columns)`` of a single slice; they are not changed.
    center
        Rotation axis of each slice in pixels, ``(slices,)``, in the convention of TomoPy's iterative methods: the index of the
        axis plus 0.5. With ``options["center_convention"] = "index"`` it is the index, as ``tomopy.find_center`` returns it.
    recon
        Written in place, ``(slices, num_gridx, num_gridy)``. Values other than TomoPy's fill value start the iteration.
    theta
        Radians, ``(angles,)``.
    options
        ``method`` and its settings; also ``device``, ``kind``, ``backend``, ``seed``, ``threads``, ``center_convention``, and
        ``independent_chunks=True`` to let a method that couples slices run on each chunk separately.
    kwargs
        ``method`` and settings may be given here too, such as ``num_iter``. TomoPy's own tools (``write_center``,
        ``align_seq``) take ``functools.partial(tomoprior.algorithm, method="sirt")``. Names that the method does not know are
        ignored with a warning.

    Raises
    ------
    InputError
        If the method couples slices and TomoPy passes only a part of the stack that does not lead to the whole: with
        ``nchunk=0``, or with ``init_recon`` in chunks. Call ``tomopy.recon`` with ``ncore=1`` then.

    Examples
    --------
    >>> import tomoprior
    >>> options = {"method": "sirt", "num_iter": 50}
    >>> volume = tomopy.recon(tomo, theta, center, algorithm=tomoprior.algorithm, options=options)  # doctest: +SKIP
    """
    del num_gridx, num_gridy  # recon has this shape already
    request = parse(options or {}, kwargs)
    with stack.finished.lock:
        if stack.finished.take(recon):
            return
        whole = stack.find_whole_stack(tomo, center, recon, _UNSET) if not request.independent_chunks else None
        if whole is not None:
            _reconstruct(whole.tomo, whole.center, whole.recon, theta, request, is_new=True)
            stack.finished.add(recon, whole)
            return
    is_new = bool(np.all(recon == _UNSET))
    _refuse_part_of_stack(request, recon, is_new=is_new, flat=np.ndim(recon) == 2)
    _reconstruct(tomo, center, recon, theta, request, is_new=is_new)


def _reconstruct(tomo: Any, center: Any, recon: NDArray[np.float32], theta: Any, request: Request, *, is_new: bool) -> None:
    tomo, center, theta = (detach(array) for array in (tomo, center, theta))
    flat = tomo.ndim == 2
    tomo, weights = split_mask(tomo if flat else tomo.swapaxes(0, 1))
    tomo = tomo if flat else tomo.swapaxes(0, 1)
    sinograms, volume = (tomo[None], recon[None]) if flat else (tomo, recon)
    # `volume` is a view: this writes into TomoPy's array, for 2-D calls too
    reconstruct_into(
        volume, sinograms, theta, np.atleast_1d(edge_center(center, request.center_convention)),
        request,
        weights=weights if weights is None or not flat or weights.ndim == 1 else weights[:, None],
        initial=None if is_new else np.array(volume), threads=request.threads,
    )  # fmt: skip


def _refuse_part_of_stack(request: Request, recon: NDArray[np.float32], *, is_new: bool, flat: bool) -> None:
    if not request.method.couples_slices or request.independent_chunks:
        return
    threads = int(os.environ.get("TOMOPY_PYTHON_THREADS", "1"))
    whole, count = recon.base, 1 if flat else recon.shape[0]
    # only in an array that TomoPy made: one from the caller may be a view for any reason
    part = is_new and isinstance(whole, np.ndarray) and whole.ndim == 3 and whole.shape[0] > count
    if threads > 1 or part:
        raise InputError(
            f"{request.method.name} couples slices and has only a part of the stack: call tomopy.recon with ncore=1 "
            'and without nchunk, or accept separate chunks with options["independent_chunks"] = True'
        )
    if isinstance(whole, np.ndarray) and whole.ndim == 3 and whole.shape[0] > count:
        # with init_recon the array may be a view of the caller's for another reason
        warnings.warn(
            f"{request.method.name} couples slices, and starts from {count} of {whole.shape[0]} slices of an array; "
            "if tomopy.recon has cut the stack into chunks, call it without nchunk, or accept them with "
            'options["independent_chunks"] = True',
            UserWarning,
            stacklevel=4,
        )
