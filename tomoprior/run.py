"""One call from a tilt series to a reconstruction with its record."""

from __future__ import annotations

import platform
import time
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from tomoprior import methods
from tomoprior._version import __version__
from tomoprior.backends import Kind
from tomoprior.errors import Interrupted, SettingsError
from tomoprior.methods.base import Method, Progress, Settings
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction
from tomoprior.series import TiltSeries

#: Packages whose version is part of the record.
RECORDED = ("torch", "numpy", "scipy", "astra-toolbox", "tomopy")

#: What is kept of where the projections came from and what was done to them.
RECORDED_INPUT = ("source", "angles_from", "minus_log", "normalized", "repaired_pixels", "binned", "flipped_hand", "warnings")


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
    Interrupted
        On Ctrl-C, by methods that keep what they have: a ``KeyboardInterrupt`` with a ``result`` like the one returned.
    """
    chosen = methods.get(method) if isinstance(method, str) else method
    if settings is None:
        settings = chosen.Settings.parse(values)
    elif not isinstance(settings, chosen.Settings):
        raise SettingsError(f"settings must be {chosen.Settings.__name__}, got {type(settings).__name__}")
    elif values:
        settings = chosen.Settings.parse({**settings.model_dump(), **values})
    projector = Projector(series.geometry, device, kind, backend)
    started = time.perf_counter()

    def recorded(result: Reconstruction, **more: Any) -> Reconstruction:
        result = result.numpy()
        record = {
            "method": chosen.name,
            "citation": chosen.citation,
            "settings": settings.model_dump(),
            "projector": projector.describe() if chosen.uses_projector and "projector" not in result.provenance else None,
            **result.provenance,
            **more,
            "seed": seed,
            "seconds": time.perf_counter() - started,
            "geometry": series.geometry.to_dict(),
            "views": [int(v) for v in series.views] if series.views is not None else None,
            "input": {k: series.metadata[k] for k in RECORDED_INPUT if k in series.metadata},
            "initial": initial is not None,
            "mask": mask is not None,
            "versions": versions(),
        }
        return replace(result, provenance=record)

    with torch.random.fork_rng():  # the caller's random numbers are the caller's
        torch.manual_seed(seed)
        try:
            result = chosen.reconstruct(
                tensor(series.projections, projector.device),
                projector,
                settings,
                weights=None if series.weights is None else tensor(series.weights, projector.device),
                initial=None if initial is None else tensor(initial, projector.device),
                mask=None if mask is None else tensor(mask, projector.device),
                progress=progress,
            )
        except Interrupted as stop:
            raise Interrupted(recorded(stop.result, interrupted=True)) from None
    return recorded(result)


def tensor(array: Any, device: torch.device) -> torch.Tensor:
    """A float32 tensor on ``device``; shares the array's memory where that is possible and safe."""
    if isinstance(array, torch.Tensor):
        return array.detach().to(device, torch.float32)
    data = np.asarray(array[...] if hasattr(array, "dtype") else array)  # what is lazy is read here
    return torch.from_numpy(np.require(data, np.float32, ["C", "W"])).to(device)


def versions() -> dict[str, str]:
    """Versions of what took part, for the record."""
    found = {"tomoprior": __version__, "python": platform.python_version()}
    for name in RECORDED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
