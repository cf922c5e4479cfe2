"""The angles of a tilt series: from the caller, from the file or from a side file, and a note where these disagree."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tomoprior.errors import InputError, TomopriorError
from tomoprior.formats.angle_ranges import parse_range
from tomoprior.formats.angles import check_angles
from tomoprior.formats.base import Stack
from tomoprior.formats.sidefiles import list_angle_files, read_angles_and_notes
from tomoprior.formats.unit_evidence import looks_like_degrees
from tomoprior.geometry import MAX_ANGLE
from tomoprior.storage.arrays import detach

#: Numbers between colons or commas, which no file is called.
_NUMBERS = re.compile(r"\s*[-+\d.]+(\s*[:,]\s*[-+\d.]+)+\s*")
#: Radians: sources that differ by less are refined and nominal angles of the same series.
TOLERANCE = float(np.deg2rad(1.0))


@dataclass(frozen=True)
class SeriesAngles:
    """Tilt angles of a series in radians, shape ``(n_angles,)``, the name of their source, and lines for the user."""

    values: NDArray[np.float64]
    source: str
    notes: tuple[str, ...] = ()


def find_series_angles(path: Path, stack: Stack, *, unit: str | None = None) -> SeriesAngles:
    """Return the angles of a series that the caller gave none for: the file's own, or those of a side file.

    A side file other than an ``.mdoc`` comes before nominal angles of the file (a microscope's header), and every side file
    after any other angles of the file.

    Raises
    ------
    InputError
        If there are none, with the reason why angles of the file are not used; or if they do not fit the tilts.
    FormatError
        If the side file is broken.
    """
    n = int(stack.data.shape[0])
    side_files = list_angle_files(path)
    own = _angles_of_file(path, stack, unit)
    # a log of the microscope (.mdoc, the last in the list) knows no better than the header of its images
    overruled = stack.nominal_angles and bool(side_files) and side_files[0].suffix.lower() != ".mdoc"
    others: list[tuple[NDArray[np.float64], str]] = []
    notes: tuple[str, ...] = ()
    if own is not None and not overruled:
        values, source = own, str(path)
    elif side_files:
        source = str(side_files[0])
        values, notes = _read_side_file(path, side_files.pop(0), n, unit)
        others += [] if own is None else [(own, "the file's own")]
    elif stack.rejected_angles is not None:
        raise InputError(f"no tilt angles: {stack.rejected_angles.reason}; or give others (--angles FILE)")
    else:
        raise InputError(
            f"{path}: no tilt angles in the file and no .tlt, .rawtlt or .mdoc beside it; give them (--angles FILE)"
        )
    for other in side_files:
        try:
            others.append((read_angles_and_notes(other, unit=unit, n=n)[0], other.name))
        except TomopriorError:
            continue  # a side file that is not used may have any defect
    disagreements = tuple(
        f"angles are taken from {source}; {name} differs{_difference(values, compared)}"
        for compared, name in others
        if np.abs(values - compared).max() > TOLERANCE
    )
    return SeriesAngles(values, source, (*notes, *_order_note(values, source), *disagreements))


def angles_from_caller(angles: ArrayLike | str | Path, path: Path, n: int, *, unit: str | None = None) -> SeriesAngles:
    """Return the angles that the caller gives for ``n`` tilts: an array in radians, a side file, or a range of degrees.

    Parameters
    ----------
    angles
        Radians, shape ``(n,)``; the path of a side file; or ``"START:END:STEP"`` in degrees, or in ``unit``.
    path
        The file with the images, for messages.
    n
        Number of tilts.
    unit
        ``"degree"`` or ``"radian"``, for a side file that states none.

    Raises
    ------
    InputError
        If they are not numbers, or their number is wrong.
    FormatError
        If the side file is broken.
    """
    if isinstance(angles, (str, Path)):
        source = str(angles)
        degrees = parse_range(source) if not Path(source).exists() else None
        if degrees is None and _NUMBERS.fullmatch(source) and not Path(source).exists():
            raise InputError(f"angles {source}: a range of angles is START:END:STEP, such as -60:60:2")
        if degrees is None:
            values, notes = _read_side_file(path, Path(source), n, unit)
            return SeriesAngles(values, source, (*notes, *_order_note(values, source)))
        if len(degrees) != n:
            raise InputError(f"{path}: {n} tilts, but {len(degrees)} angles in {source}")
        values, notes = check_angles(degrees, source, unit=unit or "degree")
        return SeriesAngles(values, source, notes)
    try:
        listed = np.asarray(detach(angles))
        array = np.asarray(listed.real, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"angles must be numbers, got {type(angles).__name__}") from None
    if np.iscomplexobj(listed):
        raise InputError("angles must be real numbers, got complex ones")
    if array.shape != (n,):
        given = f"{array.size} angles given" if array.ndim == 1 else f"angles of shape {array.shape} given"
        raise InputError(f"{path}: {n} tilts, but {given}")
    if unit is None:
        if n > 1 and np.ptp(array) == 0:
            raise InputError(f"{path}: all {n} angles that are given are {array[0]:g}, so this is no tilt series")
        return SeriesAngles(array, "given", degrees_note(array))
    values, notes = check_angles(array, "angles", unit=unit)
    return SeriesAngles(values, "given", notes)


def degrees_note(angles: NDArray[np.float64]) -> tuple[str, ...]:
    """Return a line for the user if an array of radians looks like degrees; else nothing.

    Parameters
    ----------
    angles
        Values that the caller gives as radians, shape ``(n,)``.

    Examples
    --------
    >>> import numpy as np
    >>> from tomoprior.formats.angle_sources import degrees_note
    >>> degrees_note(np.arange(-8.0, 9.0))[0][:45]
    'angles from -8 to 8 radians look like degrees'
    >>> degrees_note(np.deg2rad(np.arange(-8.0, 9.0)))
    ()
    """
    if angles.ndim != 1 or not angles.size or not np.all(np.isfinite(angles)) or np.abs(angles).max() > MAX_ANGLE:
        return ()  # ``Geometry`` refuses these
    if not looks_like_degrees(angles):
        return ()
    return (
        f"angles from {angles.min():g} to {angles.max():g} radians look like degrees; if so, convert them by numpy.deg2rad",
    )


def _angles_of_file(path: Path, stack: Stack, unit: str | None) -> NDArray[np.float64] | None:
    """Return the angles that the file itself holds, in radians; ``unit`` counts where the file states none."""
    if stack.angles is not None:
        if unit is None or stack.assumed_angle_unit in (None, unit):
            return stack.angles
        raw = np.rad2deg(stack.angles) if stack.assumed_angle_unit == "degree" else stack.angles
        return check_angles(raw, str(path), unit=unit)[0]
    if unit is not None and stack.rejected_angles is not None and stack.rejected_angles.values is not None:
        return check_angles(stack.rejected_angles.values, str(path), unit=unit)[0]
    return None


def _read_side_file(path: Path, side: Path, n: int, unit: str | None) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    values, notes = read_angles_and_notes(side, unit=unit)
    if len(values) != n:
        raise InputError(f"{path}: {n} tilts, but {len(values)} angles in {side}")
    return values, notes


def _order_note(angles: NDArray[np.float64], source: str) -> tuple[str, ...]:
    """Return a line for the user if the angles are a microscope's log in the order of acquisition."""
    steps = np.diff(angles)
    if not source.lower().endswith(".mdoc") or np.all(steps > 0) or np.all(steps < 0):
        return ()
    first = ", ".join(f"{a:.4g}" for a in np.rad2deg(angles[:3]))
    return (
        f"{source}: its angles are in the order of acquisition ({first}, ... degrees) and are used in that order; if the stack "
        "is sorted by tilt, give its own angles (--angles FILE)",
    )


def _difference(values: NDArray[np.float64], other: NDArray[np.float64]) -> str:
    if np.abs(np.sort(values) - np.sort(other)).max() <= TOLERANCE:
        return " in the order of the tilts (sorted, or the order of acquisition)"
    return f" by up to {np.rad2deg(np.abs(values - other).max()):.3g} degrees"
