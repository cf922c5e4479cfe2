"""Read the global alignment of a tilt series in RELION 5's ``.star`` and in Warp's ``.xml``.

Both place a point of the specimen in a raw image by a rotation about the tilt axis, one by the angle of the axis in the image
(``rlnTomoZRot``, ``AxisAngle``), and a shift in angstrom along the axes of the raw image. Both turn about pixel ``N // 2``.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from tomoprior.alignment.transforms import turn_shifts
from tomoprior.errors import FormatError, InputError
from tomoprior.formats.star import read_star
from tomoprior.formats.text import number, read_text
from tomoprior.series import TiltSeries
from tomoprior.units import convert_length

#: Columns of the angle of the axis and of the shifts.
STAR_COLUMNS = ("rlnTomoZRot", "rlnTomoYShiftAngst", "rlnTomoXShiftAngst")
XML_COLUMNS = ("AxisAngle", "AxisOffsetY", "AxisOffsetX")
#: Largest tilt about x in degrees that is ignored.
LEAST_X_TILT = 0.05
#: Tables of Warp's XML with a local warping of images or volume; nodes below this many angstrom are none.
WARPING, LEAST_WARP = ("GridMovementX", "GridMovementY", "GridVolumeWarpX", "GridVolumeWarpY", "GridVolumeWarpZ"), 0.01


def read_global_alignment(
    path: Path, series: TiltSeries, views: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the angles of the tilt axis in radians, ``(n,)``, and the shifts in pixels of the series, ``(n, 2)``.

    Parameters
    ----------
    path
        ``.star`` of one tilt series, or Warp's ``.xml``.
    series
        The raw series; its voxel size turns angstrom into pixels.
    views
        Rows of the file that the series has.

    Raises
    ------
    FormatError
        If the file cannot be read, or has no such columns.
    InputError
        If it holds local warping, a tilt about x, another number of tilts, or the series has no voxel size.
    """
    geometry = series.geometry
    if geometry.unit == "pixel":
        raise InputError(f"{path}: its shifts are in angstrom, and the series has no voxel size; give --voxel-size and --unit")
    pixel = convert_length(geometry.voxel_size, geometry.unit, "angstrom")
    table = _read_star(path) if path.suffix == ".star" else _read_warp(path)
    n = geometry.n_angles
    if len(table) != n and views.max() >= len(table):
        raise InputError(f"{path}: {len(table)} tilts, but the series has {n}")
    table = table[views] if len(table) > views.max() else table
    rotations = np.deg2rad(table[:, 0])
    # (N - 1) / 2 is the middle of an image here, and N // 2 there
    middle = np.array([(1 - size % 2) / 2 for size in geometry.detector])
    return rotations, turn_shifts(table[:, 1:] / pixel + middle, rotations)


def _read_star(path: Path) -> NDArray[np.float64]:
    for table in read_star(path):
        columns = [table.numbers(name) for name in STAR_COLUMNS]
        if all(column is not None for column in columns):
            steepest = max(map(abs, table.numbers("rlnTomoXTilt") or [0.0]))
            if steepest > LEAST_X_TILT:
                raise InputError(f"{path}: tilts about x by up to {steepest:g} degrees (rlnTomoXTilt), which cannot be applied")
            return np.array(columns).T
        if "rlnTomoProjX" in table.columns:
            raise InputError(f"{path}: holds projection matrices (rlnTomoProjX) as RELION 4; convert them to RELION 5 first")
    raise FormatError(f"{path}: no table with {', '.join(STAR_COLUMNS)}; give the file of a single tilt series")


def _read_warp(path: Path) -> NDArray[np.float64]:
    text = read_text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # entities can expand without a bound
        raise FormatError(f"{path}: an XML file with a document type, which Warp does not write")
    try:
        root = ElementTree.fromstring(text[text.index("<TiltSeries") :])
    except (ElementTree.ParseError, ValueError):
        raise FormatError(f"{path}: not Warp's XML of a tilt series") from None
    for name in WARPING:
        values = [abs(number(node.get("Value", ""), path, name)) for node in root.findall(f"{name}/Node")]
        if max(values, default=0.0) > LEAST_WARP:
            raise InputError(
                f"{path}: holds local warping ({name}, up to {max(values):.3g} angstrom), which cannot be applied; "
                "let Warp write an aligned stack"
            )
    columns = [[number(word, path, name) for word in (root.findtext(name) or "").split()] for name in XML_COLUMNS]
    if not columns[0] or len({len(column) for column in columns}) > 1:
        raise FormatError(f"{path}: {', '.join(XML_COLUMNS)} need one number for each tilt")
    return np.array(columns).T
