"""One call from a tilt series to a reconstruction with its record, in memory or slab by slab."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from numpy.typing import ArrayLike

from tomoprior import methods
from tomoprior.errors import SettingsError
from tomoprior.methods import arguments
from tomoprior.methods.base import Method
from tomoprior.progress import Progress
from tomoprior.projector.backends import Kind
from tomoprior.reconstruction import Reconstruction
from tomoprior.running.in_memory import reconstruct_in_memory
from tomoprior.series import TiltSeries
from tomoprior.settings import Settings


def reconstruct(
    series: TiltSeries,
    method: str | Method = "sirt",
    *,
    out: str | Path | None = None,
    slab: int | Literal["auto"] = "auto",
    workers: int = 1,
    scheduler: Any = None,
    resume: bool = False,
    overwrite: bool = False,
    memory: int | None = None,
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
        Projections with their geometry. Without ``out`` they are read into memory here; with it slab by slab, from a file, a
        Zarr or Dask array or whatever else can be indexed.
    method
        A name that ``tomoprior.methods.available()`` lists, or a method object.
    out
        A file to write (``.zarr``, ``.mrc``, ``.h5``, ``.tif``, ``.npy``), slab by slab along y: neither the projections nor
        the volume are ever in memory as a whole. Its record is ``OUT.json``. Until it is finished, all is in ``OUT.partial``.
    slab
        With ``out``: rows of a slab; ``auto``: as many as fit into memory, up to 96, or eight halos.
    workers
        With ``out``: slabs at a time, each in a process of its own on this machine.
    scheduler
        With ``out``: address of a Dask scheduler (``tcp://...``), or a ``distributed.Client``, whose workers do the slabs.
        They need the input and ``out`` under the same paths.
    resume
        With ``out``: go on with what an earlier run left; the same settings, input, geometry and version give, on the CPU, the
        same bytes as a run that was never interrupted.
    overwrite
        With ``out``: replace it, and what an earlier run left, if they exist.
    memory
        With ``out``: bytes to use, for all workers of this machine together; by default 0.8 of what is free.
    device, kind, backend
        As in ``Projector``.
    initial
        Volume to start from, shape ``geometry.shape``.
    mask
        0 and 1, shape ``geometry.shape`` or ``(nz, nx)``: outside, the volume is zero.
    seed
        For methods that draw random numbers; the same seed gives the same volume on the CPU.
    progress
        Called once an iteration; with ``out`` once a slab.
    settings, values
        The method's settings, as an object or one by one (``num_iter=50``).

    Returns
    -------
    Reconstruction
        With NumPy arrays, and a provenance from which the run can be repeated. With ``out`` the arrays are lazy: what is
        indexed is read from the file.

    Raises
    ------
    UnknownNameError, SettingsError, InputError, BackendError, FormatError, OutputExistsError
        One line that says what is wrong; before any work where it can be known before.
    Interrupted
        On Ctrl-C, by methods that keep what they have: a ``KeyboardInterrupt`` with a ``result`` like the one returned. With
        ``out`` a ``KeyboardInterrupt``, after which ``resume`` goes on.
    """
    chosen = methods.get(method) if isinstance(method, str) else method
    arguments.check_rays(chosen, series.geometry)
    if settings is None:
        settings = chosen.Settings.parse(values)
    elif not isinstance(settings, chosen.Settings):
        raise SettingsError(f"settings must be {chosen.Settings.__name__}, got {type(settings).__name__}")
    elif values:
        settings = chosen.Settings.parse({**settings.model_dump(), **values})
    given: dict[str, Any] = {
        "device": str(device), "kind": kind, "backend": backend, "initial": initial, "mask": mask, "seed": seed,
        "progress": progress,
    }  # fmt: skip
    if out is None:
        asked = {"slab": slab != "auto", "workers": workers != 1, "scheduler": scheduler is not None, "resume": resume,
                 "overwrite": overwrite, "memory": memory is not None}  # fmt: skip
        if any(asked.values()):
            named = ", ".join(name for name, is_set in asked.items() if is_set)
            raise SettingsError(f"{named}: only with out=FILE, where the volume is written slab by slab")
        return reconstruct_in_memory(series, chosen, settings, **given)
    from tomoprior.running.slabs.run import reconstruct_to_file

    return reconstruct_to_file(
        series, chosen, settings, Path(out), slab=slab, workers=workers, scheduler=scheduler, resume=resume,
        overwrite=overwrite, memory=memory, **given,
    )  # fmt: skip
