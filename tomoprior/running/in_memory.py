"""Run a method on arrays in memory, and record how the result was made."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from numpy.typing import ArrayLike

from tomoprior._version import __version__
from tomoprior.errors import InputError, Interrupted
from tomoprior.methods.base import Method
from tomoprior.methods.solving.padding import settle_padding
from tomoprior.microscopy import Transfer
from tomoprior.progress import Progress
from tomoprior.projector import Projector, ProjectorOptions, SpectrumProjector
from tomoprior.reconstruction import Reconstruction
from tomoprior.running.arguments import resolve_seed
from tomoprior.running.threads import limit_threads
from tomoprior.series import TiltSeries
from tomoprior.storage.arrays import to_float32
from tomoprior.storage.torch_state import float32_by_default

#: Packages whose versions are recorded.
RECORDED = ("torch", "numpy", "scipy", "astra-toolbox", "tomopy")

#: Entries of a series' metadata that are recorded: the origin of the projections and how they were changed.
RECORDED_INPUT = (
    "source",
    "angles_from",
    "minus_log",
    "normalized",
    "repaired_pixels",
    "binned",
    "tilt_axis",
    "flipped_hand",
    "alignment",
    "refined_shifts",
    "warnings",
)


def run_method(
    method: Method,
    projections: torch.Tensor,
    projector: Projector,
    settings: Any,
    *,
    weights: torch.Tensor | None = None,
    initial: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Reconstruction:
    """Run ``method.reconstruct`` with a seed and a number of threads; every run of a method passes through here.

    torch's global random generators are seeded for the run. Afterwards they have the caller's state again, and torch has the
    caller's number of threads.

    Parameters
    ----------
    seed
        Seed of torch's generators, and of the method's setting ``seed`` where that is a number.
    threads
        CPU threads of torch; by default the number that is set.
    """
    settings, seed = resolve_seed(settings, seed)
    with seed_and_threads(seed, threads):
        return method.reconstruct(
            projections, projector, settings, weights=weights, initial=initial, mask=mask, progress=progress
        )


@contextmanager
def seed_and_threads(seed: int, threads: int | None) -> Iterator[None]:
    """Seed torch's generators and set its threads for a run; restore both after it."""
    # all devices are listed, because fork_rng warns of several GPUs otherwise
    with float32_by_default(), torch.random.fork_rng(devices=range(torch.cuda.device_count())), limit_threads(threads):
        torch.manual_seed(seed)
        yield


def reconstruct_in_memory(
    series: TiltSeries,
    method: Method,
    settings: Any,
    options: ProjectorOptions,
    *,
    initial: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Reconstruction:
    """Reconstruct a whole series and record the run; the other arguments are those of ``tomoprior.reconstruct``."""
    settings, seed = resolve_seed(settings, seed)
    settings = settle_padding(settings, series.projections, series.geometry, series.weights)
    check_transfer_use(series, method)
    projector: Projector = options.projector(series.geometry)
    started = time.perf_counter()

    def with_record(result: Reconstruction, **more: Any) -> Reconstruction:
        result = result.numpy()
        record = {
            "method": method.name,
            "citation": method.citation,
            "settings": settings.model_dump(mode="json"),
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

    data = to_tensor(series.projections, projector.device)
    if series.transfer is not None:
        projector = SpectrumProjector(projector, series.transfer)
        data = projector.spectrum(data)
    try:
        result = run_method(
            method,
            data,
            projector,
            settings,
            weights=None if series.weights is None else to_tensor(series.weights, projector.device),
            initial=None if initial is None else to_tensor(initial, projector.device),
            mask=None if mask is None else to_tensor(mask, projector.device),
            seed=seed,
            threads=threads,
            progress=progress,
        )
    except Interrupted as stop:
        raise Interrupted(with_record(stop.result, interrupted=True)) from None
    return with_record(result)


def check_transfer_use(series: TiltSeries, method: Method, *, slabs: bool = False) -> None:
    """Refuse a series with a transfer function where it cannot be used: by some methods, in slabs, with weights of pixels.

    Raises
    ------
    InputError
        One line that says what to do instead.
    """
    if series.transfer is None:
        return
    if slabs:
        raise InputError(
            "a transfer function couples the rows of an image, so that a volume cannot be reconstructed slab by slab; "
            "reconstruct in memory, or flip phases first (--ctf phase-flip)"
        )
    if not getattr(method, "takes_transfer", False):
        raise InputError(
            f"{method.name} cannot use a transfer function; flip phases first (--ctf phase-flip, "
            "tomoprior.microscopy.flip_phases)"
        )
    if series.weights is not None and series.weights.ndim == 3:
        raise InputError(
            "weights of pixels do not go with a transfer function, which mixes the pixels of an image; give one a tilt"
        )


def describe_run(series: TiltSeries) -> dict[str, Any]:
    """Return the part of a record that describes the input and the package versions."""
    return {
        "geometry": series.geometry.to_dict(),
        "views": [int(v) for v in series.views] if series.views is not None else None,
        "input": {k: series.metadata[k] for k in RECORDED_INPUT if k in series.metadata},
        **({} if series.transfer is None else {"transfer": _describe_transfer(series)}),
        "versions": package_versions(),
    }


def _describe_transfer(series: TiltSeries) -> dict[str, Any]:
    if isinstance(series.transfer, Transfer):
        return series.transfer.describe(series.geometry)
    return {"array": list(series.transfer.shape)}


def to_tensor(array: Any, device: torch.device) -> torch.Tensor:
    """Return a float32 tensor on ``device``; it shares the array's memory where that is possible and safe."""
    if isinstance(array, torch.Tensor):
        return array.detach().to(device, torch.float32)
    return torch.from_numpy(to_float32(array)).to(device)


def package_versions() -> dict[str, str]:
    """Return the versions of tomoprior, Python and the packages in ``RECORDED`` that are installed."""
    versions = {"tomoprior": __version__, "python": platform.python_version()}
    for name in RECORDED:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
