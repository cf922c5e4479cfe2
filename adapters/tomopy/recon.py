"""``tomopy.recon`` without TomoPy: the same signature, axis orders and result, with the methods of tomoprior."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from tomoprior import methods
from tomoprior.errors import InputError, SettingsError
from tomoprior.geometry import Geometry
from tomoprior.methods.solving.padding import fix_padding
from tomoprior.running.reconstruct import reconstruct
from tomoprior.series import TiltSeries
from tomoprior.storage.arrays import detach, split_mask, to_float32
from tomoprior.storage.lazy import TransposedArray, as_lazy

from .arrays import edge_center, reconstruct_into
from .options import CONTROL, Request, parse

#: Keywords of ``tomoprior.reconstruct`` for work slab by slab.
SLABBED = ("out", "workers", "scheduler", "resume", "overwrite", "memory")


def recon(
    tomo: ArrayLike,
    theta: ArrayLike,
    center: ArrayLike | None = None,
    sinogram_order: bool = False,
    algorithm: str | None = None,
    init_recon: ArrayLike | None = None,
    ncore: int | None = None,
    nchunk: int | None = None,
    **kwargs: Any,
) -> Any:
    """Reconstruct as ``tomopy.recon`` does, with a method of tomoprior.

    Parameters
    ----------
    tomo
        Line integrals, ``(angles, slices, columns)``, or ``(slices, angles, columns)`` with ``sinogram_order``. Masked values
        of a ``numpy.ma`` array get the weight zero.
    theta
        Radians, ``(angles,)``.
    center
        Rotation axis in pixels, one number or one per slice: the index of the axis plus 0.5, as in TomoPy's iterative methods,
        unless ``center_convention="index"``. By default the middle.
    algorithm
        Name of a method: ``"sirt"``, ``"tv"``, ``"wbp"``, ... (``tomoprior.methods.available()``).
    init_recon
        Volume to start from, ``(slices, num_gridx, num_gridy)``; it is not changed.
    ncore
        CPU threads of torch; by default the number that is set.
    nchunk
        Slices at a time, to save memory. By default all, as a method that couples slices needs them.
    kwargs
        ``num_gridx`` and ``num_gridy`` (rows and columns of a slice, by default the detector's width), the method's settings,
        by name or in a dictionary ``options``, and ``device``, ``kind``, ``backend``, ``seed``, ``center_convention``,
        ``progress``. With ``out``, a file such as ``volume.zarr``, the volume is made slab by slab and is never in memory as a
        whole. Then ``tomo`` may be a Dask, Zarr or HDF5 array, ``nchunk`` is the number of rows in a slab (by default as many
        as fit; every method can run in slabs), and ``workers``, ``scheduler``, ``resume``, ``overwrite`` and ``memory`` are as
        in ``tomoprior.reconstruct``. The file's axes are z, y, x: ``volume[z, y, x]`` is ``recon[y, z, x]``.

    Returns
    -------
    array
        float32 ``(slices, num_gridx, num_gridy)``, values per pixel. With ``out`` a lazy array of that shape and order, read
        from the file when it is indexed.

    Raises
    ------
    InputError, SettingsError, GeometryError, UnknownNameError
        One line that says what is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> theta = np.linspace(0, np.pi, 30, endpoint=False)
    >>> recon(np.ones((30, 4, 32), np.float32), theta, algorithm="sirt", num_iter=5).shape
    (4, 32, 32)
    """
    if algorithm is None:
        raise SettingsError(f"algorithm must be one of {', '.join(methods.available())}")
    slabbed = {name: kwargs.pop(name) for name in SLABBED if name in kwargs}
    if slabbed and "out" not in slabbed:
        raise SettingsError(f"{', '.join(slabbed)}: only with out=FILE, where the volume is written slab by slab")
    theta, center = detach(theta), detach(center)
    tomo, weights = _split_mask(tomo, sinogram_order)
    sinograms = _sinograms(tomo, theta, sinogram_order, lazily=bool(slabbed))
    slices, _, columns = sinograms.shape
    if not slices:
        raise InputError(f"there is no slice to reconstruct: tomo has shape {tuple(np.shape(tomo))}")
    rows, width = (int(kwargs.pop(name, None) or columns) for name in ("num_gridx", "num_gridy"))
    progress = kwargs.pop("progress", None)
    request = _request(algorithm, kwargs)
    threads = ncore or request.threads
    # broadcast here: TomoPy also takes an array of one value for all slices
    center_values = (
        np.full(slices, columns / 2) if center is None else edge_center(np.asarray(center), request.center_convention)
    )
    if center_values.size not in (1, slices):
        raise InputError(f"there are {center_values.size} centers for {slices} slices")
    centers = np.broadcast_to(center_values.reshape(-1), (slices,))
    start = None if init_recon is None else to_float32(init_recon, contiguous=False)
    if start is not None and start.shape != (slices, rows, width):
        raise InputError(f"init_recon needs shape {(slices, rows, width)}, got {start.shape}")
    if nchunk is not None and nchunk < 0:
        raise InputError(f"nchunk must not be negative, got {nchunk}")
    if slabbed:
        geometry = Geometry(theta, (rows, slices, width), (slices, columns), center=centers)
        result = reconstruct(
            TiltSeries(TransposedArray(sinograms, (1, 0, 2)), geometry, weights), request.method,
            settings=fix_padding(request.settings, geometry),  # as in TomoPy's chunks, which know a few slices only
            slab=nchunk or "auto", initial=None if start is None else start.swapaxes(0, 1), device=request.device,
            kind=request.kind, backend=request.backend, seed=request.seed, threads=threads, progress=progress, **slabbed,
        )  # fmt: skip
        return TransposedArray(as_lazy(result.volume), (1, 0, 2))
    size = slices if not nchunk else min(nchunk, slices)
    if size < slices and request.method.couples_slices and not request.independent_chunks:
        raise InputError(f"{request.method.name} couples slices: leave nchunk out, or set independent_chunks=True")
    out = np.empty((slices, rows, width), np.float32)
    for first in range(0, slices, size):
        part = slice(first, first + size)
        reconstruct_into(
            out[part], sinograms[part], theta, centers[part], request,
            weights=weights if weights is None or weights.ndim == 1 else weights[:, part],
            initial=None if start is None else start[part], threads=threads, progress=progress,
            is_center_given=center is not None,
        )  # fmt: skip
    return out


def _split_mask(tomo: Any, sinogram_order: bool) -> tuple[Any, NDArray[np.float32] | None]:
    """Return ``tomo`` without a mask, and weights per tilt or ``(angles, slices, columns)`` where values are masked."""
    masked = isinstance(tomo, np.ma.MaskedArray) and tomo.ndim == 3 and sinogram_order
    values, weights = split_mask(tomo.swapaxes(0, 1) if masked else tomo)
    return values.swapaxes(0, 1) if masked else values, weights


def _sinograms(tomo: Any, theta: ArrayLike, sinogram_order: bool, *, lazily: bool) -> Any:
    """Return sinograms ``(slices, angles, columns)``: lazy and unread, or float32 in memory."""
    has_shape = hasattr(tomo, "shape") and hasattr(tomo, "dtype") and not isinstance(tomo, torch.Tensor)
    data: Any = tomo if lazily and has_shape else np.asarray(detach(tomo))
    if len(data.shape) != 3:
        raise InputError(f"tomo needs three axes, got shape {tuple(data.shape)}")
    if np.dtype(data.dtype).kind not in "fiu":
        raise InputError(f"tomo must be real numbers, got dtype {data.dtype}")
    tilts = data.shape[1 if sinogram_order else 0]
    if np.ndim(theta) != 1 or np.size(theta) != tilts:
        raise InputError(f"there are {tilts} projections and {np.size(theta)} angles; is sinogram_order right?")
    if lazily:
        return as_lazy(data) if sinogram_order else TransposedArray(as_lazy(data), (1, 0, 2))
    return np.asarray(data if sinogram_order else data.swapaxes(0, 1), np.float32)


def _request(algorithm: str, kwargs: dict[str, Any]) -> Request:
    options: Mapping[str, Any] = kwargs.pop("options", None) or {}
    control: dict[str, Any] = {k: kwargs.pop(k) for k in CONTROL if k in kwargs}
    return parse({**options, **control, "method": algorithm}, kwargs, strict=True)
