"""The one check of tilt angles, wherever they come from: their values, their unit and what they are called in a message.

Files hold degrees or radians and often do not say which. Radians read as degrees give a scan of three degrees and no error;
the same holds the other way round. A list whose unit is not stated is therefore refused where it looks like the other unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import InputError
from tomoprior.formats.unit_evidence import (
    HALF_TURN,
    denies_degrees,
    denies_radians,
    looks_like_degrees,
    looks_like_radians,
)

UNITS = ("degree", "radian")

#: Degrees: a thousand turns. No scan is longer, and a larger number is no angle.
MAX_DEGREES = 360_000.0


class UnclearUnitError(InputError):
    """Angles look like another unit than the stated or the usual one; the caller has to say which one is right."""


@dataclass(frozen=True)
class RejectedAngles:
    """Angles that a file holds and that cannot be used.

    Attributes
    ----------
    reason
        One line that names the file.
    values
        The numbers as the file has them, where only their unit is unclear; else None.
    """

    reason: str
    values: NDArray[np.float64] | None = None


def check_angles(
    values: Any,
    source: str,
    *,
    unit: str | None = None,
    default: str = "degree",
    n: int | None = None,
    lines: Sequence[int] | None = None,
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Check a list of tilt angles and convert it to radians.

    Parameters
    ----------
    values
        Numbers, in any shape; they are read in C order.
    source
        What error messages call the list: a file name, or a file and a dataset.
    unit
        ``"degree"`` or ``"radian"`` where the unit is stated; None where it is not.
    default
        The unit of a list that states none. A list that looks like the other unit is refused.
    n
        Number of tilts; None if any number will do.
    lines
        Line number of each angle in its file, for messages.

    Returns
    -------
    angles
        Radians, shape ``(n,)``.
    notes
        Lines that a user should see.

    Raises
    ------
    UnclearUnitError
        If no unit is stated and the values look like the other unit.
    InputError
        For values that are not finite numbers, a wrong count, angles that are all equal or absurdly large.

    Examples
    --------
    >>> from tomoprior.formats.angles import check_angles
    >>> angles, notes = check_angles([-60, 0, 60], "a.tlt")
    >>> angles.round(3).tolist()
    [-1.047, 0.0, 1.047]
    """
    if unit not in (None, *UNITS):
        raise InputError(f"the unit of angles is 'degree' or 'radian', got {unit!r}")
    try:
        listed = np.asarray(values)
        array = np.array(listed.real, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise InputError(f"{source}: its angles are not numbers") from None
    if np.iscomplexobj(listed):
        raise InputError(f"{source}: its angles are complex numbers")
    if n is not None and len(array) != n:
        raise InputError(f"{source}: {len(array)} angles for {n} tilts")
    if not len(array):
        raise InputError(f"{source}: no angle in it")
    in_degrees = (unit or default) == "degree"
    degrees = array if in_degrees else np.rad2deg(array)
    _check_values(array, degrees, source, lines)
    span = f"{array.min():g} to {array.max():g}"
    if unit is None and default == "degree" and looks_like_radians(array):
        raise UnclearUnitError(
            f"{source}: {len(array)} angles from {span} look like radians, and no unit is stated; degrees are expected: say "
            "which they are with angle_unit (--angle-unit), radian or degree"
        )
    if unit is None and default == "radian" and looks_like_degrees(array):
        raise UnclearUnitError(
            f"{source}: {len(array)} angles from {span} look like degrees, and no unit is stated; radians are expected: say "
            "which they are with angle_unit (--angle-unit), degree or radian"
        )
    if len(array) > 1 and np.ptp(array) == 0:
        raise InputError(f"{source}: all {len(array)} angles are {array[0]:g}, so this is no tilt series")
    notes = list(_describe_repeats(array, source))
    if unit is None and in_degrees and len(array) > 1 and np.abs(array).max() < HALF_TURN:
        notes.append(
            f"{source}: its angles from {span} are taken as degrees; if they are radians, say so (--angle-unit radian)"
        )
    angles, reduced = _within_one_turn(array, degrees, source, in_degrees=in_degrees, stated=unit is not None)
    return angles, (*notes, *reduced)


def usable_angles(
    values: Any, n: int, source: str, *, unit: str | None = None, default: str = "degree"
) -> tuple[NDArray[np.float64] | None, RejectedAngles | None, tuple[str, ...]]:
    """Return the angles that a file holds for ``n`` tilts: ``(radians, None, notes)``, or ``(None, rejection, notes)``.

    A reader of a file uses this function rather than ``check_angles``: its image is good even if its angles are not, and a side
    file may hold better ones. A unit that the file states is doubted as ``check_stated_unit`` does.

    Parameters
    ----------
    values, n, source, unit, default
        As for ``check_angles``.

    Returns
    -------
    angles
        Radians, shape ``(n,)``; None if they cannot be used.
    rejection
        Why they cannot be used; None if they can.
    notes
        Lines that a user should see.
    """
    try:
        angles, notes = check_angles(values, source, unit=unit, default=default, n=n)
        check_stated_unit(values, source, unit)
    except UnclearUnitError as error:
        return None, RejectedAngles(str(error), np.array(values, dtype=np.float64).reshape(-1)), (f"{error}; not used",)
    except InputError as error:
        return None, RejectedAngles(str(error)), (f"{error}; not used",)
    return angles, None, notes


def check_stated_unit(values: Any, source: str, unit: str | None) -> None:
    """Raise UnclearUnitError if a file states a unit that its angles deny.

    Degrees that become multiples of 0.5 only when they are converted, that cover exactly pi or 2 pi, or less than half a
    degree, are radians. Radians that are multiples of 0.5, that cover exactly 180 or 360, or that go beyond a right angle on
    both sides, are degrees. A small range of degrees and several turns in radians are neither.

    Parameters
    ----------
    values
        The numbers of the file.
    source
        What the message calls the list.
    unit
        The unit that the file states; None passes.

    Examples
    --------
    >>> import numpy as np
    >>> from tomoprior.formats.angles import check_stated_unit
    >>> check_stated_unit(np.arange(-4, 5), "a.h5", "degree")
    >>> check_stated_unit(np.linspace(0, 180, 91), "a.h5", "radian")
    Traceback (most recent call last):
    ...
    tomoprior.formats.angles.UnclearUnitError: a.h5: 91 angles from 0 to 180 look like degrees, but the file says radian: ...
    """
    if unit is None:
        return
    array = np.array(values, dtype=np.float64).reshape(-1)
    if denies_degrees(array) if unit == "degree" else denies_radians(array):
        other = "radian" if unit == "degree" else "degree"
        raise UnclearUnitError(
            f"{source}: {len(array)} angles from {array.min():g} to {array.max():g} look like {other}s, but the file says "
            f"{unit}: say which they are with angle_unit (--angle-unit), {other} or {unit}"
        )


def _check_values(array: NDArray[np.float64], degrees: NDArray[np.float64], source: str, lines: Sequence[int] | None) -> None:
    def place(i: int) -> str:
        return f"line {lines[i]}" if lines is not None else f"angle {i} (counted from 0)"

    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise InputError(f"{source}: {place(int(bad[0]))} is not finite ({len(bad)} of {len(array)} angles)")
    worst = int(np.abs(degrees).argmax())
    if abs(degrees[worst]) > MAX_DEGREES:
        raise InputError(f"{source}: {place(worst)} is {array[worst]:.6g}, which is no tilt angle")


def _within_one_turn(
    array: NDArray[np.float64], degrees: NDArray[np.float64], source: str, *, in_degrees: bool, stated: bool
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    radians = np.deg2rad(array) if in_degrees else array
    largest = float(np.abs(degrees).max())
    if largest <= 360.0 * (1 + 1e-6):
        return radians, ()
    step = float(np.median(np.abs(np.diff(degrees)))) if len(degrees) > 4 else 0.0
    if in_degrees and step > 360.0:
        raise InputError(
            f"{source}: its angles are {step:g} degrees apart, so these are no degrees; are they thousandths of a degree?"
        )
    if not stated and largest > 720.0:
        raise InputError(
            f"{source}: an angle of {largest:g} degrees is more than two turns; if that is right, say so with angle_unit "
            "(--angle-unit degree)"
        )
    note = f"{source}: angles from {degrees.min():g} to {degrees.max():g} degrees are more than one turn; reduced modulo 360"
    return np.deg2rad(np.mod(degrees, 360.0)), (note,)


def _describe_repeats(array: NDArray[np.float64], source: str) -> tuple[str, ...]:
    """Return a line for the user if most angles are one and the same, as where a program wrote zeros for unknown ones."""
    values, counts = np.unique(array, return_counts=True)
    most = int(counts.max())
    if len(array) < 4 or 2 * most <= len(array):
        return ()
    return (f"{source}: {most} of its {len(array)} angles are {values[counts.argmax()]:g}; are these tilts?",)
