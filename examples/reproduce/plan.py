"""The plan of the reproduction: sizes of the phantoms, methods with their settings, and tilts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.series import TiltSeries

#: By the name of a row, the method and its settings; none of them is chosen by the truth.
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "wbp": ("wbp", {}),
    "fourier": ("fourier", {}),
    "sirt": ("sirt", {"num_iter": 400, "min_constraint": 0}),
    "tv": ("tv", {"reg_par": "held-out"}),
    "cn": ("cn", {}),
    "wedge": ("wedge", {}),
    "cn-paper": ("cn", {"preset": "paper"}),
}
#: The methods of the sweeps; ``cn-paper`` only on request.
SWEPT = ("wbp", "sirt", "tv", "cn")
#: Seed of the objects' positions only: the series have no noise.
SEED = 1
RANGE, STEP = 60, 2


@dataclass(frozen=True)
class Size:
    """Grids ``(nz, ny, nx)``, and limits for parts that would take too long."""

    shape: tuple[int, int, int]
    capsid: tuple[int, int, int] | None = None
    #: Number of y-slices for the comparison with ``cn-paper``; None: all.
    crop: int | None = 8
    #: Number of y-slices for the sweeps; None: all.
    swept: int | None = None
    steps: tuple[int, ...] = (1, 2, 4, 8)
    ranges: tuple[int, ...] = (40, 44, 48, 52, 56, 60)
    #: Settings that replace those above, by the row's name.
    instead: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    def shape_of(self, phantom: str) -> tuple[int, int, int]:
        """Return the grid of a phantom."""
        return self.capsid if phantom == "capsid" and self.capsid else self.shape


SIZES = {
    "small": Size((48, 64, 128), swept=16),
    "medium": Size((64, 128, 256)),
    "paper": Size((256, 1024, 1024), capsid=(360, 360, 360), crop=None),
    # for tests only: the numbers mean nothing
    "tiny": Size((16, 16, 40), steps=(2, 8), ranges=(40, 60), instead={
        "sirt": {"num_iter": 40}, "tv": {"num_iter": 40, "reg_par": 0.01}, "cn": {"num_iter": 80, "reg_par": 0.01},
        "cn-paper": {"num_iter": 4, "num_iter_next": 2, "width": 16, "depth": 1},
    }),
}  # fmt: skip


def tilts(reach: int, step: int) -> NDArray[np.float64]:
    """Return the angles in radians from ``-reach`` to ``reach`` degrees."""
    return np.deg2rad(np.arange(-reach, reach + 1, step))


def select_tilts(series: TiltSeries, reach: int, step: int) -> TiltSeries:
    """Select from a series by single degrees the tilts over ``reach`` by ``step`` degrees."""
    degrees = np.rint(np.rad2deg(series.geometry.angles)).astype(int)
    return series.select((abs(degrees) <= reach) & ((degrees + reach) % step == 0))


def middle(n: int, count: int | None) -> slice:
    """Return the middle ``count`` of ``n`` slices, or all if ``count`` is None or larger."""
    count = min(count or n, n)
    return slice((n - count) // 2, (n - count) // 2 + count)
