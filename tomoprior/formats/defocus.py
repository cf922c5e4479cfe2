"""IMOD's ``.defocus`` files, versions 2 and 3: the defocus of ranges of views, in nanometers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from tomoprior.errors import FormatError
from tomoprior.formats.text import number, read_text

#: Flags of version 3: columns that the file has, and their units.
ASTIGMATISM, ANGLE_IN_RADIANS, PHASE_SHIFT, SHIFT_IN_RADIANS, _INVERTED_ANGLES, CUT_ON = 1, 2, 4, 8, 16, 32

Row = dict[str, float]


def read_defocus(path: Path, n: int | None = None) -> list[Row]:
    """Return ``defocus_u``, ``defocus_v`` (angstrom), ``astigmatism_angle`` and ``phase_shift`` (radians) of each view.

    A line gives the mean over a range of views, counted from 1. A view between two means gets the value on the straight line
    between them, and a view beyond the last mean that mean. The flag for inverted tilt angles is not used: it concerns the
    gradient of defocus only.

    Parameters
    ----------
    path
        The file.
    n
        Number of views; by default up to the last one in the file.

    Raises
    ------
    FormatError
        If the file cannot be read, is no defocus file of version 2 or 3, or has a range beyond ``n`` views.
    """
    lines = [(place, line.split()) for place, line in enumerate(read_text(path).splitlines(), 1) if line.strip()]
    if not lines:
        raise FormatError(f"{path}: no defocus in it, the file is empty")
    flags, columns = 0, 5
    place, first = lines[0]
    if len(first) == 6 and first[5] == "3":
        flags = int(number(first[0], path, place))
        if not 0 <= flags < 64:
            raise FormatError(f"{path}: line {place}: flags {flags} are unknown")
        lines = lines[1:]
        columns = 5 + 2 * bool(flags & ASTIGMATISM) + bool(flags & PHASE_SHIFT) + bool(flags & CUT_ON)
    elif len(first) == 6 and first[5] == "2":
        lines[0] = (place, first[:5])
    elif len(first) != 5:
        raise FormatError(f"{path}: its first line is not that of a defocus file of version 2 or 3")
    if not lines:
        raise FormatError(f"{path}: no defocus in it")
    centres, values = [], []
    for place, words in lines:
        if len(words) != columns:
            raise FormatError(f"{path}: line {place} has {len(words)} numbers where {columns} are expected")
        numbers = [number(word, path, place) for word in words]
        start, end = numbers[:2]
        if not 1 <= start <= end <= (n or 10_000) or start % 1 or end % 1:
            raise FormatError(f"{path}: line {place} names views {start:g} to {end:g}, but views go from 1 to {n or 10_000}")
        centres.append((start + end) / 2)
        values.append(_convert(numbers[4:], flags))
    return _interpolate(np.array(centres), values, n)


def _convert(numbers: list[float], flags: int) -> list[float]:
    """Return defocus u and v in angstrom, astigmatism angle and phase shift in radians."""
    u, rest = numbers[0] * 10, numbers[1:]
    v, angle, shift = u, 0.0, 0.0
    if flags & ASTIGMATISM:
        v, angle, rest = rest[0] * 10, rest[1] if flags & ANGLE_IN_RADIANS else math.radians(rest[1]), rest[2:]
    if flags & PHASE_SHIFT:
        shift = rest[0] if flags & SHIFT_IN_RADIANS else math.radians(rest[0])
    return [u, v, angle, shift]


def _interpolate(centres: np.ndarray, values: list[list[float]], n: int | None) -> list[Row]:
    order = np.argsort(centres, kind="stable")
    centres, table = centres[order], np.array(values)[order]
    u, v, angle, shift = table.T
    views = np.arange(1, (n or math.ceil(centres[-1])) + 1)
    # astigmatism is a direction without a sign: its components are interpolated, not its angle
    along, across, mean, shift = (
        np.interp(views, centres, column)
        for column in ((u - v) / 2 * np.cos(2 * angle), (u - v) / 2 * np.sin(2 * angle), (u + v) / 2, shift)
    )
    size, turn = np.hypot(along, across), np.arctan2(across, along) / 2
    return [
        {"defocus_u": float(m + a), "defocus_v": float(m - a), "astigmatism_angle": float(t), "phase_shift": float(s)}
        for m, a, t, s in zip(mean, size, turn, shift, strict=True)
    ]
