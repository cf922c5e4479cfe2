"""One slab's work, wherever it is done: read, reconstruct, write, record."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior import memory
from tomoprior.geometry import Geometry
from tomoprior.methods.base import Method
from tomoprior.projector.backends import Kind
from tomoprior.reconstruction import Reconstruction
from tomoprior.running.in_memory import reconstruct_in_memory
from tomoprior.running.slabs import source
from tomoprior.running.slabs.journal import GO_ON, Journal, digest
from tomoprior.running.slabs.outputs import Outputs
from tomoprior.running.slabs.plan import Plan, Slab, settings_for_rows
from tomoprior.series import TiltSeries
from tomoprior.storage.files import open_atomic


@dataclass(frozen=True)
class Job:
    """What all slabs of a run share; can be pickled, and holds no array of any size.

    Attributes
    ----------
    out
        The final output.
    projections, weights, initial, mask
        Arrays, or lazy ones that another process can open.
    """

    out: Path
    outputs: Outputs
    plan: Plan
    geometry: Geometry
    method: Method
    settings: Any
    projections: Any
    weights: Any = None
    initial: Any = None
    mask: Any = None
    device: str = "auto"
    kind: Kind = "linear"
    backend: str = "auto"
    seed: int = 0

    def __call__(self, slab: Slab, device: str | None = None) -> dict[str, Any]:
        """Do a slab and commit it; the record is returned too.

        Parameters
        ----------
        device
            Of this worker, where it differs from the run's.
        """
        memory.release_free_memory()  # what a slab before left would stand beside this one
        started = time.perf_counter()
        block = source.rows(self.projections, slab.first, slab.last)
        read = digest(block)
        result = self._reconstruct(block, slab, device or self.device)
        del block
        self._write(slab, result)
        provenance = result.provenance
        record = {
            "rows": [slab.start, slab.stop],
            "residual": provenance.get("residual"),
            "settled": provenance.get("settled"),
            "settings_from_pilot": self._carried(result) if slab == self.plan.pilot else None,
            "input": read,
            "device": (provenance.get("projector") or {}).get("device", device or self.device),
            "host": socket.gethostname(),
            "process": os.getpid(),
            "seconds": time.perf_counter() - started,
            **({"provenance": dict(provenance), "history": dict(result.history)} if slab == self.plan.pilot else {}),
        }
        Journal(self.out).commit(slab.number, record)
        return record

    def _reconstruct(self, block: NDArray[np.float32], slab: Slab, device: str) -> Reconstruction:
        weights = self.weights
        if weights is not None and weights.ndim == 3:
            weights = source.rows(weights, slab.first, slab.last)
        settings = settings_for_rows(self.method, self.settings, range(slab.first, slab.last))
        geometry = self.geometry.rows(slab.first, slab.last)
        return reconstruct_in_memory(
            TiltSeries(block, geometry, weights),
            self.method,
            settings,
            initial=self._part(self.initial, slab),
            mask=self._part(self.mask, slab),
            device=device,
            kind=self.kind,
            backend=self.backend,
            seed=self.seed,
        )

    @staticmethod
    def _part(array: Any, slab: Slab) -> Any:
        if array is None:
            return None
        return source.rows(array, 0, 1)[:, 0] if array.shape[1] == 1 else source.rows(array, slab.first, slab.last)

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
            with open_atomic(self.outputs.folder / "determined.npy", GO_ON) as file:
                np.save(file, result.determined, allow_pickle=False)

    def _carried(self, result: Reconstruction) -> dict[str, Any] | None:
        """Settings that were open and that other slabs take over from the pilot, by name."""
        if not hasattr(self.method, "settings_from_pilot"):
            return None
        return dict(self.method.settings_from_pilot(result, self.settings, self.outputs.folder))
