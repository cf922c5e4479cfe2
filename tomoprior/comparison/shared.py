"""What all methods of a comparison have in common: data, geometry, mask, seed, and how the tilts are parted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior._version import __version__
from tomoprior.comparison.result import Planted
from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.methods.base import Method
from tomoprior.methods.solving.strength import HELD_OUT, split_held_out
from tomoprior.progress import Progress
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction
from tomoprior.running.in_memory import reconstruct_in_memory
from tomoprior.series import TiltSeries

#: Checks that take reconstructions of their own, in the order in which they are made.
CHECKS = ("held_out", "planted", "halves")

#: The fewest tilts with weight for which each makes sense.
FEWEST = {"held_out": HELD_OUT, "planted": 2, "halves": 4}


@dataclass(frozen=True, eq=False)
class SharedInput:
    """The data of a comparison.

    Attributes
    ----------
    series
        Loaded into memory.
    mask
        As ``tomoprior.reconstruct`` takes it.
    planted
        Test objects, where there is room for them.
    device, kind, backend, seed
        As ``tomoprior.reconstruct`` takes them.
    """

    series: TiltSeries
    mask: NDArray[np.float32] | None = None
    planted: Planted | None = None
    device: str = "auto"
    kind: str = "linear"
    backend: str = "auto"
    seed: int = 0

    def reconstruct(
        self, series: TiltSeries, method: Method, settings: Any, progress: Progress | None = None
    ) -> Reconstruction:
        """With what all have in common."""
        return reconstruct_in_memory(
            series, method, settings, device=self.device, kind=self.kind, backend=self.backend,  # type: ignore[arg-type]
            mask=self.mask, seed=self.seed, progress=progress,
        )  # fmt: skip

    def projector(self, geometry: Geometry) -> Projector:
        """A projector to some of the tilts, or to all."""
        return Projector(geometry, self.device, self.kind, self.backend)  # type: ignore[arg-type]

    def digest(self) -> str:
        """Of everything here and of the version, in hexadecimal: what was found for one digest holds for no other."""
        planted = self.planted
        plain = {
            "version": __version__,
            "geometry": self.series.geometry.digest(),
            "planted": None if planted is None else [planted.centers.tolist(), planted.radius, planted.density],
            "device": self.device, "kind": self.kind, "backend": self.backend, "seed": self.seed,
        }  # fmt: skip
        found = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
        for array in (self.series.projections, self.series.weights, self.mask):
            found.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
        return found.hexdigest()

    def save(self, folder: Path) -> None:
        """Into a folder, from which another process loads it."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {"projections": self.series.projections, "weights": self.series.weights, "mask": self.mask}
        for name, array in arrays.items():
            if array is not None:
                np.save(folder / f"{name}.npy", array, allow_pickle=False)
        planted = self.planted
        plain = {
            "geometry": self.series.geometry.to_dict(),
            "planted": None if planted is None else {
                "centers": planted.centers.tolist(), "controls": planted.controls.tolist(),
                "radius": planted.radius, "density": planted.density,
            },
            "device": self.device, "kind": self.kind, "backend": self.backend, "seed": self.seed,
        }  # fmt: skip
        (folder / "arena.json").write_text(json.dumps(plain))

    @classmethod
    def load(cls, folder: Path) -> SharedInput:
        """What ``save`` left."""
        plain = json.loads((folder / "arena.json").read_text())
        found: dict[str, Any] = {}
        for name in ("projections", "weights", "mask"):
            path = folder / f"{name}.npy"
            found[name] = np.load(path, allow_pickle=False) if path.exists() else None
        series = TiltSeries(found["projections"], Geometry.from_dict(plain.pop("geometry")), found["weights"])
        planted = plain.pop("planted")
        if planted is not None:
            centers, controls = (np.array(planted[k], float).reshape(-1, 3) for k in ("centers", "controls"))
            planted = Planted(centers, controls, planted["radius"], planted["density"])
        return cls(series, found["mask"], planted, **plain)


#: Runs the contestant at hand on another series of the same geometry: ``reconstruct(series, "held_out")``.
Reconstruct = Callable[[TiltSeries, str], Reconstruction]


def ordered(series: TiltSeries) -> NDArray[np.intp]:
    """Indices of the tilts that have a weight, in the order of angle."""
    order = np.argsort(series.geometry.angles, kind="stable")
    if series.weights is None:
        return order
    trusted = np.asarray(series.weights.reshape(len(order), -1).max(1) > 0)
    return np.asarray(order[trusted[order]], np.intp)


def choose_held_out(series: TiltSeries) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Tilts to fit and tilts to predict: every fifth in the order of angle; raises InputError with too few."""
    order = ordered(series)
    if len(order) < HELD_OUT:
        raise InputError(f"{len(order)} tilts are too few to hold some out: it takes {HELD_OUT}")
    keep, out = split_held_out(order)
    return keep, np.sort(out)


def halves(series: TiltSeries) -> tuple[TiltSeries, TiltSeries]:
    """The even and the odd tilts in the order of angle; raises InputError with fewer than four."""
    order = ordered(series)
    if len(order) < FEWEST["halves"]:
        raise InputError(f"{len(order)} tilts are too few for two halves: it takes {FEWEST['halves']}")
    return series.select(np.sort(order[0::2])), series.select(np.sort(order[1::2]))
