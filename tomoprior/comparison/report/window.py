"""One grey scale for all volumes of a comparison."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tomoprior.comparison.result import Comparison

Volume = NDArray[np.float32]

#: Percentiles that are the scale's first choice: of the truth, which is clean, and of reconstructions, which have outliers.
CLEAN, NOISY = (0.1, 99.9), (0.5, 99.9)
#: Percentiles of each volume that the scale holds, too. ``wbp`` loses the mean, so that much of it lies below the truth.
INSIDE = (5, 95)
#: The first choice grows at either end by this share of its width at most: no volume on another scale hides the others.
GROWTH = 0.5


@dataclass(frozen=True)
class Window:
    """Values from black to white (``low``, ``high``), and those that 8 bits have to hold (``least``, ``most``)."""

    low: float
    high: float
    least: float
    most: float

    @property
    def width(self) -> float:
        """Return the difference between white and black."""
        return self.high - self.low


def volumes(comparison: Comparison) -> dict[str, Volume]:
    """Return the truth, if there is one, and every volume, by name."""
    shown = {} if comparison.truth is None else {"truth": comparison.truth}
    return shown | {e.label: e.volume for e in comparison.done if e.volume is not None}


def window(comparison: Comparison) -> Window | None:
    """Return the grey scale of a comparison; None without volumes.

    It is the truth's, or without a truth the median of the methods', and grows until it holds ``INSIDE`` of each volume.
    ``least`` and ``most`` extend it by half its width at either end, as far as there are values.
    """
    if not (shown := volumes(comparison)):
        return None
    samples = [_sample(v) for v in shown.values()]
    if comparison.truth is not None:
        low, high = np.percentile(samples[0], CLEAN)
    else:
        low, high = np.median([np.percentile(s, NOISY) for s in samples], axis=0)
    if not high > low:  # constant, or nearly all of it
        low, high = _ends(samples)
        if not high > low:
            high = low + 1
    ends = np.array([np.percentile(s, INSIDE) for s in samples])
    room = GROWTH * (high - low)
    low, high = min(low, max(low - room, ends[:, 0].min())), max(high, min(high + room, ends[:, 1].max()))
    least, most = _ends(samples)
    half = (high - low) / 2
    return Window(float(low), float(high), float(min(low, max(least, low - half))), float(max(high, min(most, high + half))))


def _sample(volume: Volume, size: int = 2_000_000) -> NDArray[np.float32]:
    """Return about ``size`` of the voxels, evenly spaced."""
    return volume.reshape(-1)[:: max(1, volume.size // size)]


def _ends(samples: Iterable[NDArray[np.float32]]) -> tuple[float, float]:
    values = list(samples)
    return min(float(v.min()) for v in values), max(float(v.max()) for v in values)
