"""A tilt series in memory, reconstructed as a whole, with the record from which that can be repeated."""

from __future__ import annotations

import platform
import time
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from tomoprior._version import __version__
from tomoprior.errors import Interrupted
from tomoprior.methods.base import Method
from tomoprior.progress import Progress
from tomoprior.projector import Projector
from tomoprior.projector.backends import Kind
from tomoprior.reconstruction import Reconstruction
from tomoprior.series import TiltSeries

#: Packages whose version is part of the record.
RECORDED = ("torch", "numpy", "scipy", "astra-toolbox", "tomopy")

#: What is kept of where the projections came from and what was done to them.
RECORDED_INPUT = ("source", "angles_from", "minus_log", "normalized", "repaired_pixels", "binned", "flipped_hand", "warnings")


def reconstruct_in_memory(
    series: TiltSeries,
    method: Method,
    settings: Any,
    *,
    device: str | torch.device = "auto",
    kind: Kind = "linear",
    backend: str = "auto",
    initial: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Reconstruction:
    """See ``tomoprior.reconstruct``."""
    projector = Projector(series.geometry, device, kind, backend)
    started = time.perf_counter()

    def recorded(result: Reconstruction, **more: Any) -> Reconstruction:
        result = result.numpy()
        record = {
            "method": method.name,
            "citation": method.citation,
            "settings": settings.model_dump(),
            "projector": projector.describe() if method.uses_projector and "projector" not in result.provenance else None,
            **result.provenance,
            **more,
            "seed": seed,
            "seconds": time.perf_counter() - started,
            "initial": initial is not None,
            "mask": mask is not None,
            **describe_run(series),
        }
        return replace(result, provenance=record)

    with torch.random.fork_rng():  # the caller's random numbers are the caller's
        torch.manual_seed(seed)
        try:
            result = method.reconstruct(
                to_tensor(series.projections, projector.device),
                projector,
                settings,
                weights=None if series.weights is None else to_tensor(series.weights, projector.device),
                initial=None if initial is None else to_tensor(initial, projector.device),
                mask=None if mask is None else to_tensor(mask, projector.device),
                progress=progress,
            )
        except Interrupted as stop:
            raise Interrupted(recorded(stop.result, interrupted=True)) from None
    return recorded(result)


def describe_run(series: TiltSeries) -> dict[str, Any]:
    """What of a record says what was reconstructed, and with which versions."""
    return {
        "geometry": series.geometry.to_dict(),
        "views": [int(v) for v in series.views] if series.views is not None else None,
        "input": {k: series.metadata[k] for k in RECORDED_INPUT if k in series.metadata},
        "versions": package_versions(),
    }


def to_tensor(array: Any, device: torch.device) -> torch.Tensor:
    """A float32 tensor on ``device``; shares the array's memory where that is possible and safe."""
    if isinstance(array, torch.Tensor):
        return array.detach().to(device, torch.float32)
    data = np.asarray(array[...] if hasattr(array, "dtype") else array)  # what is lazy is read here
    return torch.from_numpy(np.require(data, np.float32, ["C", "W"])).to(device)


def package_versions() -> dict[str, str]:
    """Versions of what took part, for the record."""
    found = {"tomoprior": __version__, "python": platform.python_version()}
    for name in RECORDED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
