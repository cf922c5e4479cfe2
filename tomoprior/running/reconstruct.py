"""One call from a tilt series to a reconstruction with its record, in memory or slab by slab."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from numpy.typing import ArrayLike

from tomoprior.errors import SettingsError
from tomoprior.methods import arguments
from tomoprior.methods.base import Method
from tomoprior.progress import Progress
from tomoprior.projector import ProjectorOptions
from tomoprior.projector.backends import Kind
from tomoprior.reconstruction import Reconstruction
from tomoprior.running import refinement
from tomoprior.running.arguments import resolve_method, to_series, to_volume
from tomoprior.running.doubts import warn_of_doubts, warn_of_input
from tomoprior.running.in_memory import reconstruct_in_memory
from tomoprior.series import TiltSeries
from tomoprior.settings import Settings


def reconstruct(
    series: TiltSeries | str | Path,
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
    initial: ArrayLike | str | Path | None = None,
    mask: ArrayLike | str | Path | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
    settings: Settings | None = None,
    fast: bool = False,
    refine_shifts: int = 0,
    **values: Any,
) -> Reconstruction:
    """Reconstruct a tilt series.

    Parameters
    ----------
    series
        Projections with their geometry, or a file that ``tomoprior.read`` reads. Without ``out`` the projections are read into
        memory. With ``out`` they are read slab by slab, from a file, a Zarr or Dask array, or any other array that can be
        indexed.
    method
        A name that ``tomoprior.methods.available()`` lists, or a method object.
    out
        A file to write (``.zarr``, ``.mrc``, ``.h5``, ``.tif``, ``.npy``), slab by slab along y: neither the projections nor
        the volume are ever in memory as a whole. The record is ``OUT.json``. Unfinished work is in the folder ``OUT.partial``.
    slab
        With ``out``: rows of a slab. ``auto``: as many as fit into memory, up to 96 or eight halos.
    workers
        With ``out``: number of slabs at a time, each in its own process on this machine. The processes talk through pipes; no
        network port is opened.
    scheduler
        With ``out``: address of a Dask scheduler (``tcp://...``), or a ``distributed.Client``, whose workers do the slabs.
        They need the input and ``out`` under the same paths. Whoever can reach a ``tcp://`` scheduler can run code on its
        workers; use ``tls://`` and a client with certificates where others share the network or the machine.
    resume
        With ``out``: continue an unfinished run. With the same settings, input, geometry and version, the result on the CPU
        has the same bytes as that of a run without interruption.
    overwrite
        With ``out``: replace an existing output, and an unfinished run.
    memory
        With ``out``: bytes to use, for this process and all workers of this machine together, their Python interpreters
        included. By default 0.8 of the free memory.
    device, kind, backend
        As in ``Projector``.
    initial
        Volume to start from, shape ``geometry.shape``: an array, or a file that ``tomoprior.read_volume`` reads.
    mask
        Volume of 0 and 1, shape ``geometry.shape`` or ``(nz, nx)``, or such a file: outside it, the result is zero.
    seed
        For methods that draw random numbers; the same seed gives the same volume on the CPU. It sets the method's setting
        ``seed`` too, where there is one. The caller's random state does not matter and does not change.
    threads
        CPU threads of torch, shared by all workers of this machine; for workers of a scheduler, the threads of each. By
        default torch's own number, and with ``workers`` all cores.
    progress
        Called once an iteration; with ``out`` once a slab.
    settings, **values
        The method's settings, as an object or one by one (``num_iter=50``). A number of iterations alone means exactly as
        many: ``sirt``, ``sart`` and ``cgls`` then choose nothing from held-out tilts.
    fast
        Leave nothing to held-out tilts: a fixed number of iterations, and strengths by a rule of thumb. ``values`` take
        precedence. Methods without such settings run as usual.

    refine_shifts
        Rounds that refine the shifts of the tilts with this method before the volume is made: each reconstructs, reprojects
        and corrects the shifts. Each costs a run of the method on at most 128 rows. 5 halve an error of a pixel many times
        over. With ``out`` all slabs share the result. The shifts must be right to about two pixels; see ``tomoprior.align``.

    Returns
    -------
    Reconstruction
        With NumPy arrays, and a provenance from which the run can be repeated. With ``out`` the arrays are lazy: they are
        read from the file when they are indexed.

    Raises
    ------
    UnknownNameError, SettingsError, InputError, BackendError, FormatError, OutputExistsError
        One line that says what is wrong; before any work where it can be known before.
    Interrupted
        On Ctrl-C, by methods that keep an intermediate result: a ``KeyboardInterrupt`` with a ``result`` like the one
        returned. With ``out`` a plain ``KeyboardInterrupt``, after which ``resume`` continues.

    Examples
    --------
    >>> import numpy as np
    >>> from tomoprior import Geometry, TiltSeries
    >>> geometry = Geometry(np.deg2rad(np.arange(-60, 61, 3)), (16, 8, 32))
    >>> series = TiltSeries(np.ones(geometry.range_shape, np.float32), geometry)
    >>> reconstruct(series, "sirt", num_iter=5).volume.shape
    (16, 8, 32)
    """
    series = to_series(series)
    initial, mask = to_volume(initial), to_volume(mask)
    resolved, settings = resolve_method(method, settings, values, fast=fast)
    arguments.check_rays(resolved, series.geometry)
    warn_of_input(series, lazily=out is not None)
    options = ProjectorOptions(str(device), kind, backend)
    if refine_shifts:
        series, settings = refinement.refine_shifts(
            series, resolved, settings, options, refine_shifts, seed=seed, threads=threads
        )
    common: dict[str, Any] = {
        "initial": initial, "mask": mask, "seed": seed, "threads": threads, "progress": progress,
    }  # fmt: skip
    if out is None:
        used = {"slab": slab != "auto", "workers": workers != 1, "scheduler": scheduler is not None, "resume": resume,
                "overwrite": overwrite, "memory": memory is not None}  # fmt: skip
        if any(used.values()):
            names = ", ".join(name for name, is_set in used.items() if is_set)
            raise SettingsError(f"{names}: only with out=FILE, where the volume is written slab by slab")
        result = reconstruct_in_memory(series, resolved, settings, options, **common)
        warn_of_doubts(series.projections, series.geometry, result.provenance)
        return result
    from tomoprior.running.slabs.run import reconstruct_to_file

    result = reconstruct_to_file(
        series, resolved, settings, Path(out), options, slab=slab, workers=workers, scheduler=scheduler, resume=resume,
        overwrite=overwrite, memory=memory, **common,
    )  # fmt: skip
    warn_of_doubts(series.projections, series.geometry, result.provenance)
    return result
