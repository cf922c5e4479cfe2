"""Results that survive an interruption: computed once, stored completely or not at all, and identified by their input."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import tomoprior
from tomoprior import methods
from tomoprior.formats import replace_atomically
from tomoprior.series import TiltSeries
from tomoprior.simulate import phantoms, simulate

Arrays = dict[str, NDArray[Any]]


class Store:
    """A folder of arrays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def load_or_make(self, name: str, facts: dict[str, Any], make: Callable[[], Arrays]) -> Arrays:
        """Load the arrays that an earlier run made from the same ``facts``, or make and store them now."""
        facts = {**facts, "version": tomoprior.__version__}
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
        path = self.folder / f"{name}-{key}.npz"
        if not path.exists():
            with replace_atomically(path, overwrite=True) as temporary:
                np.savez(temporary, **make())
        with np.load(path) as arrays:
            return dict(arrays)

    def simulation(
        self, phantom: str, shape: tuple[int, int, int], angles: NDArray[np.float64], seed: int, settings: dict[str, Any]
    ) -> tuple[TiltSeries, NDArray[np.float32]]:
        """Return tilt series and truth."""
        facts = {"phantom": phantom, "shape": shape, "angles": angles.tolist(), "seed": seed}
        facts |= {"settings": phantoms.get_phantom(phantom, **settings).model_dump(mode="json")}
        file = settings.get("file")
        facts |= {"sha256": None if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()}

        def make() -> Arrays:
            simulation = simulate(phantom, shape, angles, seed=seed, **settings)
            return {"projections": simulation.series.projections, "truth": simulation.truth.volume}

        arrays = self.load_or_make(f"{phantom}-series", facts, make)
        series = TiltSeries(arrays["projections"], tomoprior.Geometry(angles, shape))
        return series, arrays["truth"]

    def reconstruction(self, name: str, series: TiltSeries, method: str, settings: dict[str, Any]) -> Arrays:
        """Return ``volume``, ``seconds`` and the number of ``threads``."""
        values = methods.get(method).Settings.parse(settings)
        data = np.ascontiguousarray(series.projections)
        facts = {"method": method, "settings": values.model_dump(mode="json"), "geometry": series.geometry.to_dict()}
        facts |= {"data": hashlib.sha256(data.tobytes()).hexdigest()}

        def make() -> Arrays:
            result = tomoprior.reconstruct(series, method, settings=values)
            seconds, threads = result.provenance["seconds"], torch.get_num_threads()
            return {"volume": result.volume, "seconds": np.array(seconds), "threads": np.array(threads)}

        return self.load_or_make(name, facts, make)
