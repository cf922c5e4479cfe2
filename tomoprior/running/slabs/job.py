"""The work on one slab, in any process: read, reconstruct, write, record."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior import memory
from tomoprior.geometry import Geometry
from tomoprior.methods.base import Method, PilotMethod
from tomoprior.projector import ProjectorOptions
from tomoprior.reconstruction import Reconstruction
from tomoprior.running.in_memory import reconstruct_in_memory
from tomoprior.running.slabs import source
from tomoprior.running.slabs.journal import Journal, digest
from tomoprior.running.slabs.outputs import Outputs
from tomoprior.running.slabs.plan import Plan, Slab, settings_for_rows
from tomoprior.running.slabs.records import RESUME_HINT
from tomoprior.series import TiltSeries
from tomoprior.storage.files import open_atomic, reraise_disk_errors


@dataclass(frozen=True)
class Job:
    """The common part of all slabs of a run; it can be pickled and holds no large array.

    Attributes
    ----------
    out
        The final output.
    projections, weights, initial, mask
        Arrays, or lazy ones that another process can open.
    options
        Arguments of the projector.
    seed, threads
        As in ``tomoprior.reconstruct``; ``threads`` is the number for one slab.
    """

    out: Path
    outputs: Outputs
    plan: Plan
    geometry: Geometry
    method: Method
    settings: Any
    options: ProjectorOptions
    projections: Any
    weights: Any = None
    initial: Any = None
    mask: Any = None
    seed: int = 0
    threads: int | None = None

    @property
    def device(self) -> str:
        """Device of the run. With several GPUs an executor gives each worker its own."""
        return self.options.device

    def __call__(self, slab: Slab, device: str | None = None) -> dict[str, Any]:
        """Compute a slab, write it, and return its record.

        Parameters
        ----------
        device
            Device of this worker, where it differs from the run's.
        """
        memory.release_free_memory()  # the remains of an earlier slab would add to this one
        started = time.perf_counter()
        block = source.read_rows(self.projections, slab.first, slab.last)
        input_digest = digest(block)
        options = self.options if device is None else replace(self.options, device=device)
        result = self._reconstruct(block, slab, options)
        del block
        self._write(slab, result)
        provenance = result.provenance
        is_pilot = slab == self.plan.pilot
        record = {
            "rows": [slab.start, slab.stop],
            "residual": provenance.get("residual"),
            "settled": provenance.get("settled"),
            "settings_from_pilot": self._settings_from_pilot(result) if is_pilot else None,
            "input": input_digest,
            "device": (provenance.get("projector") or {}).get("device", options.device),
            "host": socket.gethostname(),
            "process": os.getpid(),
            "seconds": time.perf_counter() - started,
            **({"provenance": dict(provenance), "history": dict(result.history)} if is_pilot else {}),
        }
        Journal(self.out).commit(slab.number, record)
        return record

    def _reconstruct(self, block: NDArray[np.float32], slab: Slab, options: ProjectorOptions) -> Reconstruction:
        weights = self.weights
        if weights is not None and weights.ndim == 3:
            weights = source.read_rows(weights, slab.first, slab.last)
        settings = settings_for_rows(self.method, self.settings, range(slab.first, slab.last))
        geometry = self.geometry.rows(slab.first, slab.last)
        return reconstruct_in_memory(
            TiltSeries(block, geometry, weights),
            self.method,
            settings,
            options,
            initial=self._part(self.initial, slab),
            mask=self._part(self.mask, slab),
            seed=self.seed,
            threads=self.threads,
        )

    @staticmethod
    def _part(array: Any, slab: Slab) -> Any:
        """Return a slab's rows of a volume, or the slice ``(nz, nx)`` of an array that is the same in all rows."""
        if array is None:
            return None
        return source.read_rows(array, 0, 1)[:, 0] if array.shape[1] == 1 else source.read_rows(array, slab.first, slab.last)

    def _write(self, slab: Slab, result: Reconstruction) -> None:
        arrays = {"volume": result.volume, **({} if result.std is None else {"std": result.std})}
        b = self.plan.blend
        for name, values in arrays.items():
            self.outputs.write(name, slab, values[:, slab.rows])
            if not b:
                continue
            for border, side in ((slab.start, "high"), (slab.stop, "low")):
                if 0 < border < self.geometry.shape[1]:
                    at = border - slab.first
                    self.outputs.keep(name, border, side, values[:, at - b : at + b])
        if result.determined is not None and slab == self.plan.pilot:
            with open_atomic(self.outputs.folder / "determined.npy", RESUME_HINT) as file:
                np.save(file, result.determined, allow_pickle=False)

    def _settings_from_pilot(self, result: Reconstruction) -> dict[str, Any] | None:
        """Return the settings that the pilot has chosen for all slabs, by name."""
        if not isinstance(self.method, PilotMethod):
            return None
        folder = self.outputs.folder / "pilot"
        with reraise_disk_errors(folder, RESUME_HINT):
            folder.mkdir(exist_ok=True)
        return dict(self.method.settings_from_pilot(result, self.settings, folder))
