"""The input that all methods of a comparison share: data, geometry, mask, seed, and the split of the tilts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior._version import __version__
from tomoprior.comparison.result import Planted
from tomoprior.comparison.store import save_array
from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.methods.base import Method
from tomoprior.methods.solving.holding_out import HELD_OUT, split_held_out
from tomoprior.progress import Progress
from tomoprior.projector import FilteredProjector, Projector, ProjectorOptions
from tomoprior.reconstruction import Reconstruction
from tomoprior.running.in_memory import reconstruct_in_memory
from tomoprior.series import TiltSeries
from tomoprior.storage.digest import compute_digest

#: Checks that need further reconstructions, in the order in which they run.
CHECKS = ("held_out", "planted", "halves")

#: Number of the evidence's definitions; results of another number are computed anew.
EVIDENCE = 3

#: Reconstructions that each check takes.
RECONSTRUCTIONS = {"held_out": 1, "planted": 1, "halves": 2}

#: The fewest tilts with weight that each check needs.
FEWEST = {"held_out": HELD_OUT, "planted": 2, "halves": 4}


@dataclass(frozen=True, eq=False)
class SharedInput:
    """The data of a comparison.

    Attributes
    ----------
    series
        The tilt series, loaded into memory.
    mask
        The mask for ``tomoprior.reconstruct``.
    planted
        Test objects; None if the grid has no room for them.
    options
        Arguments of the projector.
    seed
        Seed of every run.
    models_transfer
        Whether the method under test has the transfer function of ``series`` in its model. Other methods take the images, whose
        phases are flipped, as they are.
    """

    series: TiltSeries
    mask: NDArray[np.float32] | None = None
    planted: Planted | None = None
    options: ProjectorOptions = field(default_factory=ProjectorOptions)
    seed: int = 0
    models_transfer: bool = True

    def for_method(self, method: Method) -> SharedInput:
        """Return the same input for a method, which decides how the transfer function is used."""
        return replace(self, models_transfer=bool(getattr(method, "takes_transfer", False)))

    def projector(self, series: TiltSeries) -> Projector:
        """Return the projector from a volume of the method under test to the images of ``series``, tilts of this series."""
        A: Projector = self.options.projector(series.geometry)
        return A if series.transfer is None or not self.models_transfer else FilteredProjector(A, series.transfer)

    def reconstruct(
        self, series: TiltSeries, method: Method, settings: Any, progress: Progress | None = None
    ) -> Reconstruction:
        """Reconstruct ``series`` with the mask, device and seed of this comparison."""
        if not self.models_transfer:
            series = replace(series, transfer=None)
        return reconstruct_in_memory(
            series, method, settings, self.options, mask=self.mask, seed=self.seed, progress=progress
        )  # fmt: skip

    def digest(self) -> str:
        """Return a hexadecimal digest of all input and of the version; results belong to one digest only."""
        # the planted objects follow from the rest, and a reconstruction does not depend on them
        plain = {"version": __version__, "evidence": EVIDENCE, **self._parameters(), "planted": None}
        return compute_digest(plain, *self._arrays().values())

    def save(self, folder: Path) -> None:
        """Save everything to ``folder``, for another process to load."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in self._arrays().items():
            if array is not None:
                save_array(folder / f"{name}.npy", array)
        (folder / "input.json").write_text(json.dumps(self._parameters()))

    @classmethod
    def load(cls, folder: Path) -> SharedInput:
        """Load what ``save`` wrote."""
        parameters = json.loads((folder / "input.json").read_text())
        arrays: dict[str, Any] = {}
        for name in ("projections", "weights", "mask", "transfer"):
            path = folder / f"{name}.npy"
            arrays[name] = np.load(path, allow_pickle=False) if path.exists() else None
        geometry = Geometry.from_dict(parameters.pop("geometry"))
        series = TiltSeries(arrays["projections"], geometry, arrays["weights"], transfer=arrays["transfer"])
        planted = parameters.pop("planted")
        if planted is not None:
            centers, controls = (np.array(planted[k], float).reshape(-1, 3) for k in ("centers", "controls"))
            planted = Planted(centers, controls, planted["radius"], planted["density"])
        return cls(series, arrays["mask"], planted, seed=parameters.pop("seed"), options=ProjectorOptions(**parameters))

    def _arrays(self) -> dict[str, NDArray[np.float32] | None]:
        arrays = {"projections": self.series.projections, "weights": self.series.weights, "mask": self.mask}
        return arrays if self.series.transfer is None else {**arrays, "transfer": self.series.transfer}

    def _parameters(self) -> dict[str, Any]:
        """Return everything but the arrays, as plain values."""
        planted = self.planted
        return {
            "geometry": self.series.geometry.to_dict(),
            "planted": None if planted is None else {
                "centers": planted.centers.tolist(), "controls": planted.controls.tolist(),
                "radius": planted.radius, "density": planted.density,
            },
            **asdict(self.options), "seed": self.seed,
        }  # fmt: skip


#: Runs the method under test on another series of the same grid: ``reconstruct(series, "held_out")``.
Reconstruct = Callable[[TiltSeries, str], Reconstruction]


def order_tilts(series: TiltSeries) -> NDArray[np.intp]:
    """Return the indices of the tilts that have a weight, sorted by angle."""
    order = np.argsort(series.geometry.angles, kind="stable")
    if series.weights is None:
        return order
    trusted = np.asarray(series.weights.reshape(len(order), -1).max(1) > 0)
    return np.asarray(order[trusted[order]], np.intp)


def choose_held_out(series: TiltSeries) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the tilts to fit and the tilts to predict, every fifth by angle; raises InputError for too few tilts."""
    order = order_tilts(series)
    if len(order) < HELD_OUT:
        raise InputError(f"{len(order)} tilts are too few to hold some out: it takes {HELD_OUT}")
    keep, out = split_held_out(order)
    return keep, np.sort(out)


def split_halves(series: TiltSeries) -> tuple[TiltSeries, TiltSeries]:
    """Return the even and the odd tilts, sorted by angle; raises InputError for fewer than four tilts."""
    order = order_tilts(series)
    if len(order) < FEWEST["halves"]:
        raise InputError(f"{len(order)} tilts are too few for two halves: it takes {FEWEST['halves']}")
    return series.select(np.sort(order[0::2])), series.select(np.sort(order[1::2]))
