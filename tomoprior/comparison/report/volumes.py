"""The volumes for the viewer of the page: 8 bits on one scale, binned until they fit, compressed without loss.

The compression is a zlib stream of the bytes, or of their differences along x if that is shorter. The page decompresses it by
itself: browsers that guard against tracking change the pixels of a picture when a script reads them.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.comparison.evidence.planted import make_spheres
from tomoprior.comparison.report.window import Volume, Window, volumes
from tomoprior.comparison.result import Comparison
from tomoprior.metrics import split_measured
from tomoprior.series.binning import block_mean

Bytes = NDArray[np.uint8]

#: Bytes of volumes per character in the page at most; noise has 0.8, clean phantoms ten and more.
PACKING = 4


@dataclass(frozen=True)
class Packed:
    """The data for the viewer.

    Attributes
    ----------
    step
        Voxels of the volume per voxel of the viewer, along z, y, x.
    shape
        Shape of the viewer's volumes.
    shift
        Values of the inferred part are ``(byte - 128) * shift``.
    spread
        Standard deviations, of a method and among the methods, are ``byte * spread``.
    reach
        Values of the response to planted objects are ``(byte - 128) * reach``.
    parts
        By name and part (``values``, ``inferred``, ``std``, ``response``): ``(filter, base64)``.
    among
        The standard deviation among the methods, in the same form, or None.
    """

    step: tuple[int, int, int]
    shape: tuple[int, int, int]
    shift: float
    spread: float
    reach: float
    parts: Mapping[str, Mapping[str, tuple[str, str]]]
    among: tuple[str, str] | None = None

    @property
    def size(self) -> int:
        """Return the number of characters in the page."""
        inner = sum(len(text) for parts in self.parts.values() for _, text in parts.values())
        return inner + (len(self.among[1]) if self.among else 0)


def pack(comparison: Comparison, grey: Window, budget: int) -> Packed:
    """Return volumes, their inferred parts and standard deviations in at most ``budget`` characters.

    They are binned by the smallest whole number that fits, and to at most ``PACKING`` times as many voxels, because the page
    holds all of them uncompressed.
    """
    extra = [comparison.spread, *(e.std for e in comparison.done)]
    count = 2 * len(volumes(comparison)) + sum(s is not None for s in extra) + len(responses(comparison))
    nz, ny, nx = comparison.geometry.shape
    factor = max(1, math.ceil((nz * ny * nx * count / (PACKING * max(1, budget))) ** (1 / 3)))
    while True:
        packed = _pack(comparison, grey, factor)
        if packed.size <= budget or max(packed.shape) == 1:
            return packed
        factor += 1


def responses(comparison: Comparison) -> dict[str, Volume]:
    """Return how the planted objects change each volume, by name: the truth by the objects themselves."""
    objects = comparison.planted
    if objects is None:
        return {}
    shown = {e.label: e.response for e in comparison.done if e.response is not None}
    if comparison.truth is None or not shown:
        return shown
    return {"truth": make_spheres(objects, comparison.geometry.shape).volume(comparison.geometry.shape)} | shown


def bin_volume(volume: NDArray[np.float32], step: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return means over blocks of ``step`` voxels, computed in double precision; the volume itself for single voxels."""
    return volume if step == (1, 1, 1) else block_mean(volume, step, np.float64).astype(np.float32)


def _pack(comparison: Comparison, grey: Window, factor: int) -> Packed:
    nz, ny, nx = comparison.geometry.shape
    step = (min(factor, nz), min(factor, ny), min(factor, nx))
    small = {name: bin_volume(v, step) for name, v in volumes(comparison).items()}
    inferred = {name: split_measured(v, comparison.geometry.angles)[1] for name, v in small.items()}
    std = {e.label: bin_volume(e.std, step) for e in comparison.done if e.std is not None}
    # the tails are cut off: otherwise most grey levels would go to a few extreme values
    largest = max(float(np.percentile(np.abs(v), 99.95)) for v in inferred.values())
    shift = min(max(largest, grey.width / 100), 2 * grey.width) / 127
    changes = {name: bin_volume(v, step) for name, v in responses(comparison).items()}
    reach = max((float(np.percentile(np.abs(v), 99.99)) for v in changes.values()), default=0.0) / 127 or 1.0
    among = None if comparison.spread is None else bin_volume(comparison.spread, step)
    tops = (float(np.percentile(v, 99.9)) for v in (*std.values(), *([] if among is None else [among])))
    spread = max(tops, default=0.0) / 255 or 1.0
    parts: dict[str, dict[str, tuple[str, str]]] = {}
    for name, volume in small.items():
        values = (volume - grey.least) / (grey.most - grey.least) * 255
        parts[name] = {"values": _encode(values), "inferred": _encode(inferred[name] / shift + 128, least=1)}
        if name in std and name != "truth":
            parts[name]["std"] = _encode(std[name] / spread)
        if name in changes:
            parts[name]["response"] = _encode(changes[name] / reach + 128, least=1)
    shape = next(iter(small.values())).shape
    last = None if among is None else _encode(among / spread)
    return Packed(step, (shape[0], shape[1], shape[2]), shift, spread, reach, parts, last)


def _encode(values: NDArray[Any], least: int = 0) -> tuple[str, str]:
    """Round to bytes and compress; returns the filter's name and the text."""
    raw: Bytes = np.clip(np.rint(values), least, 255).astype(np.uint8)
    change = np.diff(raw, axis=2, prepend=np.uint8(0))
    name, packed = min(
        (("none", zlib.compress(raw.tobytes(), 6)), ("x", zlib.compress(change.tobytes(), 6))), key=lambda p: len(p[1])
    )
    return name, base64.b64encode(packed).decode("ascii")
