"""What is reproduced: sizes of the phantoms, methods with their settings, tilts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.series import TiltSeries

#: What a row is called, the method that it is of, and the settings: nothing is settled by the truth.
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "wbp": ("wbp", {}),
    "fourier": ("fourier", {}),
    "sirt": ("sirt", {"num_iter": 400, "min_constraint": 0}),
    "tv": ("tv", {"reg_par": "held-out"}),
    "cn": ("cn", {}),
    "wedge": ("wedge", {}),
    "cn-paper": ("cn", {"preset": "paper"}),
}
#: Of these the sweeps are made; ``cn-paper`` only if asked.
SWEPT = ("wbp", "sirt", "tv", "cn")
#: Of the phantoms' places, and of nothing else: there is no noise.
SEED = 1
RANGE, STEP = 60, 2


@dataclass(frozen=True)
class Size:
    """Grids as ``(nz, ny, nx)``, and what is left out where it would take too long."""

    shape: tuple[int, int, int]
    capsid: tuple[int, int, int] | None = None
    #: y-slices that all methods are compared on with ``cn-paper``; None: all.
    crop: int | None = 8
    #: y-slices that the sweeps are made on; None: all.
    swept: int | None = None
    steps: tuple[int, ...] = (1, 2, 4, 8)
    ranges: tuple[int, ...] = (40, 44, 48, 52, 56, 60)
    #: Settings in place of those above, by the row's name.
    instead: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    def of(self, phantom: str) -> tuple[int, int, int]:
        """The grid of a phantom."""
        return self.capsid if phantom == "capsid" and self.capsid else self.shape


SIZES = {
    "small": Size((48, 64, 128), swept=16),
    "medium": Size((64, 128, 256)),
    "paper": Size((256, 1024, 1024), capsid=(360, 360, 360), crop=None),
    # for tests: nothing is reproduced by it
    "tiny": Size((16, 16, 40), steps=(2, 8), ranges=(40, 60), instead={
        "sirt": {"num_iter": 40}, "tv": {"num_iter": 40, "reg_par": 0.01}, "cn": {"num_iter": 80, "reg_par": 0.01},
        "cn-paper": {"num_iter": 4, "num_iter_next": 2, "width": 16, "depth": 1},
    }),
}  # fmt: skip


def tilts(reach: int, step: int) -> NDArray[np.float64]:
    """Angles in radians from ``-reach`` to ``reach`` degrees."""
    return np.deg2rad(np.arange(-reach, reach + 1, step))


def thinned(series: TiltSeries, reach: int, step: int) -> TiltSeries:
    """The tilts of a series at every degree that one over ``reach`` by ``step`` degrees has."""
    degrees = np.rint(np.rad2deg(series.geometry.angles)).astype(int)
    return series.select((abs(degrees) <= reach) & ((degrees + reach) % step == 0))


def middle(n: int, of: int | None) -> slice:
    """The middle ``of`` of ``n`` slices; all, if ``of`` is None or more."""
    of = min(of or n, n)
    return slice((n - of) // 2, (n - of) // 2 + of)
