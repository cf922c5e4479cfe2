"""One call from a tilt series to a reconstruction with its record."""

from __future__ import annotations

import platform
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from tomoprior import methods
from tomoprior._version import __version__
from tomoprior.backends import Kind
from tomoprior.methods.base import Method, Progress, Settings
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction
from tomoprior.series import TiltSeries

#: Packages whose version is part of the record.
RECORDED = ("torch", "numpy", "scipy", "astra-toolbox", "tomopy")


def reconstruct(
    series: TiltSeries,
    method: str | Method = "sirt",
    *,
    device: str | torch.device = "auto",
    kind: Kind = "linear",
    backend: str = "auto",
    initial: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    settings: Settings | None = None,
    **values: Any,
) -> Reconstruction:
    """Reconstruct a tilt series.

    Parameters
    ----------
    series
        Projections with their geometry; read into memory here.
    method
        A name that ``tomoprior.methods.available()`` lists, or a method object.
    device, kind, backend
        As in ``Projector``.
    initial
        Volume to start from, shape ``geometry.shape``.
    mask
        0 and 1, shape ``geometry.shape`` or ``(nz, nx)``: outside, the volume is zero.
    seed
        For methods that draw random numbers; the same seed gives the same volume on the CPU.
    progress
        Called once an iteration.
    settings, values
        The method's settings, as an object or one by one (``num_iter=50``).

    Returns
    -------
    Reconstruction
        With NumPy arrays, and a provenance from which the run can be repeated.

    Raises
    ------
    UnknownNameError, SettingsError, InputError, BackendError
        One line that says what is wrong; before any work where it can be known before.
    """
    chosen = methods.get(method) if isinstance(method, str) else method
    if settings is None:
        settings = chosen.Settings.parse(values)
    elif values:
        settings = chosen.Settings.parse({**settings.model_dump(), **values})
    projector = Projector(series.geometry, device, kind, backend)
    started = time.perf_counter()
    with torch.random.fork_rng():  # the caller's random numbers are the caller's
        torch.manual_seed(seed)
        result = chosen.reconstruct(
            tensor(series.projections, projector.device),
            projector,
            settings,
            weights=None if series.weights is None else tensor(series.weights, projector.device),
            initial=None if initial is None else tensor(initial, projector.device),
            mask=None if mask is None else tensor(mask, projector.device),
            progress=progress,
        ).numpy()
    seconds = time.perf_counter() - started
    record = {
        "method": chosen.name,
        "citation": chosen.citation,
        "settings": settings.model_dump(),
        **result.provenance,
        "seed": seed,
        "seconds": seconds,
        "projector": describe(projector),
        "geometry": series.geometry.to_dict(),
        "views": [int(v) for v in series.views] if series.views is not None else None,
        "source": {k: v for k, v in series.metadata.items() if k in ("source", "angles_from")},
        "versions": versions(),
    }
    return Reconstruction(result.volume, result.geometry, result.std, result.history, record)


def tensor(array: Any, device: torch.device) -> torch.Tensor:
    """A float32 tensor on ``device``; shares the array's memory where that is possible and safe."""
    data = np.asarray(array[...] if hasattr(array, "__getitem__") else array)
    return torch.from_numpy(np.require(data, np.float32, ["C", "W"])).to(device)


def describe(projector: Projector) -> dict[str, Any]:
    """Backend, kernel, device and the measured adjoint error, or None for a method that made no use of the projector."""
    error = None
    if projector.is_built:
        # one slice tells: all share the matrix or the kernel, and this costs next to nothing
        y = projector.geometry.shape[1] // 2
        error = projector.with_geometry(projector.geometry.rows(y, y + 1)).adjoint_error()
    return {
        "backend": projector.backend,
        "kind": projector.kind,
        "device": str(projector.device),
        "matched": projector.matched,
        "adjoint_error": error,
    }


def versions() -> dict[str, str]:
    """Versions of what took part, for the record."""
    found = {"tomoprior": __version__, "python": platform.python_version()}
    for name in RECORDED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
