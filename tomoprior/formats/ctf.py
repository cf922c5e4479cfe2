"""Contrast transfer functions of a tilt series, from the files of programs that measure them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import FormatError, InputError
from tomoprior.formats.defocus import Row, read_defocus
from tomoprior.formats.star import StarTable, read_star
from tomoprior.formats.text import number, read_text
from tomoprior.microscopy import CTF, Transfer

#: Values in a CTFFIND header, with the field of a CTF.
_HEADER = {
    "voltage": re.compile(r"acceleration voltage:\s*(\S+)\s*keV"),
    "spherical_aberration": re.compile(r"spherical aberration:\s*(\S+)\s*mm"),
    "amplitude_contrast": re.compile(r"amplitude contrast:\s*(\S+)"),
}
#: Columns of RELION's tables by field of a CTF, and the factor from the file's unit.
_STAR = {
    "defocus_u": ("rlnDefocusU", 1.0),
    "defocus_v": ("rlnDefocusV", 1.0),
    "astigmatism_angle": ("rlnDefocusAngle", math.pi / 180),
    "phase_shift": ("rlnPhaseShift", math.pi / 180),
    "b_factor": ("rlnCtfBfactor", 1.0),
    "voltage": ("rlnVoltage", 1.0),
    "spherical_aberration": ("rlnSphericalAberration", 1.0),
    "amplitude_contrast": ("rlnAmplitudeContrast", 1.0),
}
#: Columns of a tilt's angle in degrees, by which rows are matched with images.
STAR_ANGLES = ("rlnTomoNominalStageTiltAngle", "wrpAngleTilt")
#: Largest distance in degrees of a row's nominal angle from that of its image.
ANGLE_TOLERANCE = 1.5


def read_ctf(
    path: str | Path,
    n: int | None = None,
    *,
    angles: Sequence[float] | None = None,
    voltage: float | None = None,
    spherical_aberration: float | None = None,
    amplitude_contrast: float | None = None,
) -> list[CTF]:
    """Read the contrast transfer function of each image of a tilt series.

    Parameters
    ----------
    path
        ``.defocus``: IMOD, versions 2 and 3. ``.star``: RELION's columns, one row for each image. Any other name: the text
        table of CTFFIND4 or of AreTomo (``_CTF.txt``).
    n
        Number of images, in the order of the stack.
    angles
        Tilt angles of the images in degrees. Rows of a STAR file that names its angles are put in their order.
    voltage, spherical_aberration, amplitude_contrast
        Kilovolts, millimeters and fraction, instead of the file's. Where neither says: 300 kV, 2.7 mm, 0.07.

    Returns
    -------
    list of CTF
        One for each image.

    Raises
    ------
    FormatError
        If the file cannot be read, or has another number of rows than ``n``.
    InputError
        If its values cannot be those of a microscope.
    """
    path = Path(path)
    given = {
        "voltage": voltage, "spherical_aberration": spherical_aberration, "amplitude_contrast": amplitude_contrast,
    }  # fmt: skip
    if path.suffix.lower() == ".defocus":
        rows = read_defocus(path, n)
    elif path.suffix.lower() == ".star":
        rows = _read_star_rows(path, angles)
    else:
        rows = _read_table(path)
    if n is not None and len(rows) != n:
        raise FormatError(f"{path}: it has the CTF of {len(rows)} images, and the series has {n}")
    own = {name: value for name, value in given.items() if value is not None}
    try:
        return [CTF(**{**row, **own}) for row in rows]
    except InputError as error:
        raise FormatError(f"{path}: {error}") from None


def _read_table(path: Path) -> list[Row]:
    """Return the rows of CTFFIND4's and AreTomo's table: number, defocus 1 and 2, azimuth (degrees), phase shift (radians)."""
    optics: dict[str, float] = {}
    rows: dict[int, Row] = {}
    for place, line in enumerate(read_text(path).splitlines(), 1):
        text = line.strip()
        if text.startswith("#"):
            for name, pattern in _HEADER.items():
                match = pattern.search(text)
                if match is not None:
                    optics[name] = number(match[1].rstrip(";,"), path, place)
        elif text:
            words = text.split()
            if not 7 <= len(words) <= 10:
                raise FormatError(f"{path}: line {place} has {len(words)} words where CTFFIND and AreTomo have 7 or more")
            image, u, v, azimuth, shift = (number(word, path, place) for word in words[:5])
            if image % 1 or not 0 <= image <= 1e6:
                raise FormatError(f"{path}: line {place}: {words[0][:40]} is no number of an image")
            if int(image) in rows:
                raise FormatError(f"{path}: line {place}: image {int(image)} appears twice")
            rows[int(image)] = {
                "defocus_u": u, "defocus_v": v, "astigmatism_angle": math.radians(azimuth), "phase_shift": shift
            }  # fmt: skip
    if not rows:
        raise FormatError(f"{path}: no CTF in it")
    if max(rows) - min(rows) >= len(rows):
        raise FormatError(f"{path}: its images are not numbered without gaps")
    return [{**rows[image], **optics} for image in sorted(rows)]


def _read_star_rows(path: Path, angles: Sequence[float] | None) -> list[Row]:
    tables = read_star(path)
    main = next((table for table in tables if "rlnDefocusU" in table.columns), None)
    if main is None:
        raise FormatError(f"{path}: no column rlnDefocusU in it")
    rows: list[Row] = [{} for _ in main.rows]
    for name, (column, factor) in _STAR.items():
        for value, row in zip(_column(main, tables, column), rows, strict=True):
            if value is not None:
                row[name] = value * factor
    order = order_by_angle(main, angles)
    return rows if order is None else [rows[i] for i in order]


def _column(main: StarTable, tables: list[StarTable], column: str) -> list[Any]:
    """Return the values of a column; the optics may stand in a table of one row."""
    values = main.numbers(column)
    if values is not None:
        return values
    shared = next((t.numbers(column) for t in tables if column in t.columns and len(t.rows) == 1), None)
    return [None if shared is None else shared[0]] * len(main.rows)


def order_by_angle(table: StarTable, angles: Sequence[float] | None) -> list[int] | None:
    """Return the row of each image by its angle in degrees, or None if the file or the caller has no angles.

    Raises
    ------
    FormatError
        If an image has no row within ``ANGLE_TOLERANCE`` degrees, or shares it with another image.
    """
    nominal = next((values for values in map(table.numbers, STAR_ANGLES) if values is not None), None)
    if nominal is None or angles is None or len(nominal) != len(angles):
        return None
    # both in the order of angle: neighbours may lie closer than the error of a nominal angle
    order = np.empty(len(angles), int)
    order[np.argsort(angles, kind="stable")] = np.argsort(nominal, kind="stable")
    distance = np.abs(np.asarray(nominal)[order] - np.asarray(angles))
    worst = int(np.argmax(distance))
    if distance[worst] > ANGLE_TOLERANCE:
        raise FormatError(f"{table.path}: no row has the angle of image {worst}, {angles[worst]:.2f} degrees")
    return [int(i) for i in order]


def write_optics(path: Path, transfer: Transfer, angles: NDArray[np.float64]) -> None:
    """Write a STAR file with RELION's columns, which ``read_ctf`` and ``read_dose`` read.

    Parameters
    ----------
    path
        The file.
    transfer
        With a CTF for each tilt.
    angles
        In radians.
    """
    columns: dict[str, list[float]] = {STAR_ANGLES[0]: np.rad2deg(angles).tolist()}
    for field, (column, factor) in _STAR.items():
        values = [getattr(ctf, field) for ctf in transfer.ctf or ()]
        columns[column] = [
            (ctf.defocus_u if value is None else value) / factor for ctf, value in zip(transfer.ctf or (), values, strict=True)
        ]
    if transfer.dose is not None:
        middle = np.asarray(transfer.dose)
        steps = np.diff(np.sort(middle))
        columns["rlnMicrographPreExposure"] = (middle - (np.median(steps) / 2 if len(steps) else 0.0)).tolist()
    lines = ["data_", "", "loop_", *(f"_{name} #{i}" for i, name in enumerate(columns, 1))]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
