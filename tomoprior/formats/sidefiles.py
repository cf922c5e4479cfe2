"""Side files of a tilt series: angles (.tlt, .rawtlt, .txt, .csv, .mdoc) and IMOD's alignment (.xf)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tomoprior.errors import FormatError, InputError
from tomoprior.formats.mdoc import mdoc_angles
from tomoprior.formats.text import number, read_text

#: What a pure shift may differ from the unit matrix: less than a pixel over a thousand.
XF_TOLERANCE = 1e-3

_ALIGNED = re.compile(r"_(ali|preali)$")


def read_angles(path: str | Path, *, unit: str | None = None) -> NDArray[np.float64]:
    """Tilt angles from a side file.

    Parameters
    ----------
    path
        ``.tlt``, ``.rawtlt``, ``.txt``: one angle per line, lines that are empty or start with ``#`` left out; ``.csv``: the
        first column, with or without a line of titles; ``.mdoc``: ``TiltAngle`` of each ``[ZValue = k]``, in the order of k.
    unit
        ``"degree"``, which is what such files hold, or ``"radian"``. By default degrees, and a file whose numbers look like
        radians (more than ten within +-3.2 at steps below 0.2) is refused rather than read as a range of three degrees.

    Returns
    -------
    angles
        In radians, shape ``(n,)``.

    Raises
    ------
    FormatError
        If the file cannot be read, is empty, or holds anything but finite numbers.
    InputError
        If its numbers look like radians, or ``unit`` is neither of the two.
    """
    path = Path(path)
    if unit not in (None, "degree", "radian"):
        raise InputError(f"the unit of angles is 'degree' or 'radian', got {unit!r}")
    suffix = path.suffix.lower()
    values = mdoc_angles(path) if suffix == ".mdoc" else _column(path, commas=suffix == ".csv")
    if unit is None and _looks_like_radians(values):
        raise InputError(
            f"{path}: {len(values)} angles from {values.min():g} to {values.max():g} look like radians; a side file holds "
            "degrees: say which they are with angle_unit (--angle-unit), radian or degree"
        )
    return values if unit == "radian" else np.deg2rad(values)


def write_angles(path: str | Path, angles: ArrayLike) -> None:
    """Write angles (radians, shape ``(n,)``) as degrees, one per line with six decimals, as IMOD's ``.tlt``."""
    lines = (f"{value:.6f}\n" for value in np.rad2deg(np.asarray(angles, dtype=np.float64)))
    Path(path).write_text("".join(lines), encoding="ascii")


def find_angles(stack: str | Path) -> Path | None:
    """The side file beside a stack that holds its angles, or None.

    Refined angles (``.tlt``) go before nominal ones (``.rawtlt``), and those before an ``.mdoc``; ``NAME.tlt`` before
    ``NAME.mrc.tlt``. For IMOD's ``NAME_ali.mrc`` the files of ``NAME`` serve too.
    """
    stack = Path(stack)
    stems = [stack.stem, stack.name]
    if _ALIGNED.search(stack.stem):
        base = _ALIGNED.sub("", stack.stem)
        stems += [base, f"{base}{stack.suffix}", f"{base}.mrc", f"{base}.st"]
    for suffix in (".tlt", ".rawtlt", ".mdoc"):
        for stem in stems:
            candidate = stack.with_name(stem + suffix)
            if candidate.is_file():
                return candidate
    return None


def read_shifts(path: str | Path) -> NDArray[np.float64]:
    """Shifts from an IMOD ``.xf`` file.

    A line ``A11 A12 A21 A22 DX DY`` takes the raw image to the aligned one. ``Geometry.shifts`` says how far a picture lies
    from where it should, which is the opposite: ``(dy, dx) = -(DY, DX)``.

    Returns
    -------
    shifts
        ``(dy, dx)`` in pixels, shape ``(n, 2)``.

    Raises
    ------
    FormatError
        If the file cannot be read, or a line is not six finite numbers.
    InputError
        If an image is to be rotated, stretched or sheared too, by more than 1e-3: shifts cannot say that.
    """
    path = Path(path)
    rows = []
    for place, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 6:
            raise FormatError(f"{path}: line {place} has {len(words)} numbers where .xf has six (A11 A12 A21 A22 DX DY)")
        rows.append([number(word, path, place) for word in words])
    if not rows:
        raise FormatError(f"{path}: no transform in it, the file is empty")
    table = np.array(rows)
    worst = np.abs(table[:, :4] - [1, 0, 0, 1]).max(axis=1)
    if worst.max() > XF_TOLERANCE:
        tilt = int(np.argmax(worst))
        raise InputError(
            f"{path}: the transform of tilt {tilt} rotates or stretches the image (by {worst[tilt]:.3g}), and shifts cannot "
            "say that; align the stack first (IMOD: newstack -xform)"
        )
    return -table[:, [5, 4]] + 0.0  # no negative zeros


def _column(path: Path, *, commas: bool) -> NDArray[np.float64]:
    values: list[float] = []
    titled = False
    for place, line in enumerate(read_text(path).splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        words = re.split(r"[,;\t]", text) if commas else text.split()
        if commas and not values and not titled and not _is_number(words[0]):
            titled = True  # the line of titles
            continue
        if not commas and len(words) != 1:
            raise FormatError(f"{path}: line {place} has {len(words)} words where one angle is expected: {text[:40]!r}")
        values.append(number(words[0], path, place))
    if not values:
        raise FormatError(f"{path}: no angle in it, the file is empty")
    return np.array(values)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _looks_like_radians(values: NDArray[np.float64]) -> bool:
    # eight degrees at two-degree steps are real data; +-60 degrees in radians are 41 values with steps of 0.05
    if len(values) <= 10 or np.ptp(values) == 0 or np.abs(values).max() >= 3.2:
        return False
    return bool(np.median(np.abs(np.diff(np.sort(values)))) < 0.2)
