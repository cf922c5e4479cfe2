"""The dose that the specimen has received at each image of a tilt series."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import FormatError
from tomoprior.formats.ctf import order_by_angle
from tomoprior.formats.mdoc import read_mdoc
from tomoprior.formats.star import read_star
from tomoprior.formats.text import number, read_text

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DATE = re.compile(r"(\d{1,4})-([A-Za-z]{3})-(\d{2,4})\s+(\d{1,2}):(\d{2}):(\d{2})(?:\.\d+)?", re.ASCII)


def read_dose(path: str | Path, n: int | None = None, *, angles: Sequence[float] | None = None) -> NDArray[np.float64]:
    """Read the accumulated dose of each image, in electrons per square angstrom.

    Parameters
    ----------
    path
        ``.mdoc``: ``PriorRecordDose``, or without it ``ExposureDose`` added up in the order of ``DateTime``. ``.star``:
        ``rlnMicrographPreExposure`` or ``wrpDose``. Any other name: one number for each image, taken as it is.
    n
        Number of images, in the order of the stack.
    angles
        Tilt angles of the images in degrees. Rows of a STAR file that names its angles are put in their order.

    Returns
    -------
    NDArray
        Shape ``(n,)``. From ``.mdoc`` and ``.star`` the dose at the middle of each exposure, where the signal has its mean
        damage.

    Raises
    ------
    FormatError
        If the file cannot be read, has another number of images, or does not tell the dose.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".mdoc":
        dose = _read_mdoc_dose(path)
    elif suffix == ".star":
        dose = _read_star_dose(path, angles)
    else:
        dose = _read_list(path)
    if n is not None and len(dose) != n:
        raise FormatError(f"{path}: it has the dose of {len(dose)} images, and the series has {n}")
    if np.any(dose < 0):
        raise FormatError(f"{path}: the dose of image {int(np.argmax(dose < 0))} is negative")
    return dose


def read_voltage(path: str | Path) -> float | None:
    """Return ``Voltage`` of an ``.mdoc`` in kilovolts; None if the file does not give it."""
    top, _ = read_mdoc(path)
    return number(top["Voltage"], Path(path), "Voltage") if "Voltage" in top else None


def _read_mdoc_dose(path: Path) -> NDArray[np.float64]:
    _, sections = read_mdoc(path)
    if not sections:
        raise FormatError(f"{path}: no [ZValue = ...] section in it")
    doses, priors = [], []
    for z in sorted(sections):
        keys = sections[z]
        if "ExposureDose" not in keys:
            raise FormatError(f"{path}: no ExposureDose for ZValue {z}")
        doses.append(number(keys["ExposureDose"], path, f"ExposureDose of ZValue {z}"))
        if "PriorRecordDose" in keys:
            priors.append(number(keys["PriorRecordDose"], path, f"PriorRecordDose of ZValue {z}"))
    dose = np.array(doses)
    if not np.any(dose > 0):
        raise FormatError(f"{path}: every ExposureDose is 0: the microscope's dose was not calibrated")
    if len(priors) == len(dose):  # it counts images too that were taken out of the file later
        return np.array(priors) + dose / 2
    times = [_parse_time(sections[z].get("DateTime", ""), path, z) for z in sorted(sections)]
    order = np.argsort(np.array(times, "datetime64[s]"), kind="stable")
    prior = np.zeros(len(dose))
    prior[order[1:]] = np.cumsum(dose[order])[:-1]
    return prior + dose / 2


def _parse_time(text: str, path: Path, z: int) -> datetime:
    """Return ``06-Jun-23  23:19:46`` or ``2023-Jun-06 23:19:46`` as a time; months are English in any language."""
    match = _DATE.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError
        first, month, last = match[1], _MONTHS.index(match[2].lower()) + 1, match[3]
        year, day = (int(first), int(last)) if len(first) == 4 else (int(last), int(first))
        hour, minute, second = (int(text) for text in match.groups()[3:6])
        return datetime(year + 2000 if year < 100 else year, month, day, hour, minute, second)
    except ValueError:
        raise FormatError(f"{path}: ZValue {z} has DateTime {text[:40]!r}, so that the order of exposure is unknown") from None


def _read_star_dose(path: Path, angles: Sequence[float] | None) -> NDArray[np.float64]:
    for table in read_star(path):
        for column in ("rlnMicrographPreExposure", "wrpDose"):
            values = table.numbers(column)
            if values is None:
                continue
            order = order_by_angle(table, angles)
            prior = np.array(values if order is None else [values[i] for i in order])
            steps = np.diff(np.sort(prior))
            return prior + (float(np.median(steps)) / 2 if len(steps) else 0.0)
    raise FormatError(f"{path}: no column rlnMicrographPreExposure or wrpDose in it")


def _read_list(path: Path) -> NDArray[np.float64]:
    lines = ((place, line.strip()) for place, line in enumerate(read_text(path).splitlines(), 1))
    values = [number(text, path, place) for place, text in lines if text and not text.startswith("#")]
    if not values:
        raise FormatError(f"{path}: no dose in it")
    return np.array(values)
