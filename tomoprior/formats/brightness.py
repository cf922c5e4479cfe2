"""Preparation of images of brightness for reconstruction: background, division by the beam, inversion, logarithm."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import InputError
from tomoprior.formats.base import Stack
from tomoprior.formats.transmission import MinusLog
from tomoprior.storage.lazy import Box, LazyArray, WrappedArray

#: Percentiles of a tilt that stand for the beam beside the specimen (bright field) and for the background (dark field).
BRIGHT, BACKGROUND = 95.0, 5.0

Level: TypeAlias = float | str | None


class LeveledTilts(LazyArray):
    """Each tilt of a lazy array combined with one level of its own, float32.

    Parameters
    ----------
    source
        Images ``[angle, y, u]``.
    level
        A number for all tilts, or a percentile as ``(percent,)``, which is taken over the finite pixels of each whole tilt.
    operation
        ``operation(values, level)``; a module-level function, so that the array can be pickled.
    """

    def __init__(
        self,
        source: LazyArray,
        level: float | tuple[float],
        operation: Callable[[NDArray[np.float32], np.float32], NDArray[np.float32]],
    ) -> None:
        super().__init__(source.path, source.shape, np.float32)
        self._source, self._level, self._operation = source, level, operation
        self._levels: dict[int, float] = {}
        self._lock = Lock()

    def _read(self, box: Box) -> NDArray[Any]:
        values = self._source.read(box).astype(np.float32)
        for i, image in zip(range(box[0].start, box[0].stop), values, strict=True):
            image[...] = self._operation(image, np.float32(self._level_of(i)))
        return values

    def _level_of(self, i: int) -> float:
        if not isinstance(self._level, tuple):
            return self._level
        with self._lock:
            if i not in self._levels:
                _, ny, nu = self.shape
                whole = self._source.read((slice(i, i + 1), slice(0, ny), slice(0, nu)))
                finite = whole[np.isfinite(whole)]
                self._levels[i] = float(np.percentile(finite, self._level[0])) if finite.size else math.nan
            return self._levels[i]

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state | {"_lock": Lock()}


def prepare_values(
    stack: Stack, path: Path, *, subtract: Level = None, i0: Level = None, invert: bool = False, minus_log: bool = False
) -> Stack:
    """Return the same stack with its values prepared when they are read, in the order of the parameters.

    Parameters
    ----------
    subtract
        A background to subtract: a number, or ``"auto"`` for the 5th percentile of each tilt.
    i0
        Brightness without specimen, by which values are divided: a number, or ``"auto"`` for the 95th percentile of each tilt.
        It implies ``minus_log``: transmissions become line integrals.
    invert
        Replace each value by the 95th percentile of its tilt minus the value: a specimen that is dark on bright becomes bright
        on zero.
    minus_log
        Take minus the natural logarithm.

    Raises
    ------
    InputError
        For a level that is no number, an ``i0`` that is not positive, or a combination that means nothing.
    """
    if invert and (i0 is not None or minus_log):
        raise InputError("invert (--invert) and minus the logarithm (--minus-log, --i0) exclude each other")
    data = stack.data if isinstance(stack.data, LazyArray) else WrappedArray(stack.data, path)
    attrs = dict(stack.attrs)
    if subtract is not None:
        data, attrs["subtracted"] = LeveledTilts(data, _level(subtract, BACKGROUND, "subtract"), _subtract), str(subtract)
    if i0 is not None:
        level = _level(i0, BRIGHT, "i0")
        if not isinstance(level, tuple) and level <= 0:
            raise InputError(f"i0 (--i0) is the brightness without specimen and must be positive, got {level:g}")
        data, attrs["i0"] = LeveledTilts(data, level, _divide), str(i0)
    if invert:
        data, attrs["inverted"] = LeveledTilts(data, (BRIGHT,), _invert), True
    logarithm = minus_log or i0 is not None
    if logarithm:
        data, attrs["minus_log"] = MinusLog(data), True
    changed = logarithm or invert or subtract is not None
    return replace(stack, data=data, counts=stack.counts and not changed, attrs=attrs) if changed else stack


def _level(value: float | str, percent: float, name: str) -> float | tuple[float]:
    if value == "auto":
        return (percent,)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{name} (--{name}) is 'auto' or a number, got {value!r}")
    return number


def _divide(values: NDArray[np.float32], level: np.float32) -> NDArray[np.float32]:
    return np.asarray(values / level if level > 0 else values * np.float32(np.nan), np.float32)


def _invert(values: NDArray[np.float32], level: np.float32) -> NDArray[np.float32]:
    return np.asarray(level - values, np.float32)


def _subtract(values: NDArray[np.float32], level: np.float32) -> NDArray[np.float32]:
    return np.asarray(values - level, np.float32)
