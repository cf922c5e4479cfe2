"""Read alignments of other programs: IMOD, AreTomo, RELION and Warp, and the axis in SerialEM's ``.mdoc``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tomoprior.alignment.estimate import choose_detector
from tomoprior.alignment.relion import read_global_alignment
from tomoprior.alignment.result import Alignment
from tomoprior.alignment.saving import load_alignment
from tomoprior.alignment.transforms import from_xf, turn_shifts
from tomoprior.errors import FormatError, InputError
from tomoprior.formats.mdoc import read_mdoc
from tomoprior.formats.text import number, read_text
from tomoprior.formats.transforms import read_transforms
from tomoprior.series import TiltSeries

#: Largest stretching or shearing of an ``.xf`` line that is ignored: less than half a pixel over a thousand.
TOLERANCE = 1e-3
#: Columns of a line of AreTomo's ``.aln``: SEC ROT GMAG TX TY SMEAN SFIT SCALE BASE TILT.
ALN_COLUMNS = 10


def read_alignment(path: str | Path, series: TiltSeries, *, tilt_axis: float | None = None) -> Alignment:
    """Return the alignment that a file holds for a raw series.

    Parameters
    ----------
    path
        ``.xf`` or ``.prexg`` of IMOD, ``.aln`` of AreTomo, the ``.star`` of a tilt series of RELION 5, Warp's ``.xml``, or the
        ``.json`` that ``tomoprior align`` wrote.
    series
        The raw series. Tilts that were left out of it are left out of the alignment (by ``series.views``).
    tilt_axis
        Angle of the tilt axis in radians, where the transforms leave it in the images (``.prexg``).

    Raises
    ------
    FormatError
        If the file cannot be read.
    InputError
        If its number of tilts does not fit, or it describes what cannot be applied: local warping, stretching or shear.
    """
    path = Path(path)
    if path.suffix == ".json":
        return load_alignment(path)
    views = np.arange(series.geometry.n_angles) if series.views is None else series.views
    if path.suffix == ".aln":
        rotations, magnifications, shifts = _read_aln(path, views)
    elif path.suffix in (".star", ".xml"):
        rotations, shifts = read_global_alignment(path, series, views)
        magnifications = np.ones(len(shifts))
    else:
        table = read_transforms(path)
        if len(table) != series.geometry.n_angles and views.max() >= len(table):
            raise InputError(f"{path}: {len(table)} transforms, but the series has {series.geometry.n_angles} tilts")
        rotations, magnifications, shifts, distortions = from_xf(table[views] if len(table) > views.max() else table)
        if distortions.max() > TOLERANCE:
            tilt = int(np.argmax(distortions))
            raise InputError(
                f"{path}: the transform of tilt {tilt} stretches or shears the image (by {distortions[tilt]:.3g}); only "
                "rotation, magnification and shift can be applied (IMOD: newstack -xform applies the rest)"
            )
    if tilt_axis is not None:
        rotations = rotations + tilt_axis
        shifts = turn_shifts(shifts, np.full(len(shifts), tilt_axis))  # the aligned frame turns by the angle too
    axis = float(np.arctan2(np.sin(rotations).mean(), np.cos(rotations).mean()))
    return Alignment(
        shifts, axis, choose_detector(series.geometry, axis), rotations=rotations - axis, magnifications=magnifications
    )


def read_mdoc_axis(path: str | Path) -> float | None:
    """Return ``RotationAngle`` of an ``.mdoc``: the angle of the tilt axis in radians; None without this key."""
    top, sections = read_mdoc(path)
    for keys in (top, *(sections[z] for z in sorted(sections)[:1])):
        if "RotationAngle" in keys:
            return float(np.deg2rad(number(keys["RotationAngle"], Path(path), "RotationAngle")))
    return None


def find_mdoc_axis(stack: Path, angles: str | None = None) -> tuple[float, Path] | None:
    """Return the angle of the tilt axis in radians from the ``.mdoc`` of a stack, and that file; None if there is none.

    Parameters
    ----------
    stack
        The raw series. The function looks for ``NAME.mrc.mdoc`` and ``NAME.mdoc`` beside it.
    angles
        File of angles that the user named. If it is an ``.mdoc``, it comes first.
    """
    named = [Path(angles)] if angles is not None and angles.endswith(".mdoc") else []
    for path in (*named, stack.with_name(f"{stack.name}.mdoc"), stack.with_suffix(".mdoc")):
        axis = read_mdoc_axis(path) if path.is_file() else None
        if axis is not None:
            return axis, path
    return None


def _read_aln(path: Path, views: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return rotations, magnifications and shifts of AreTomo's global alignment of the given views."""
    rows: dict[int, list[float]] = {}
    for place, line in enumerate(read_text(path).splitlines(), 1):
        text = line.strip()
        if text.startswith("#"):
            words = text.lstrip("# ").replace("=", " ").split()
            if words[:1] == ["NumPatches"] and len(words) > 1 and number(words[1], path, place) > 0:
                raise InputError(f"{path}: holds a local alignment ({words[1]} patches), and local warping cannot be applied")
            continue
        words = text.split()
        if len(words) != ALN_COLUMNS:
            if words:
                raise FormatError(f"{path}: line {place} has {len(words)} columns where .aln has {ALN_COLUMNS}")
            continue
        rows[int(number(words[0], path, place))] = [number(word, path, place) for word in words]
    missing = [int(v) for v in views if int(v) not in rows]
    if missing:
        raise InputError(
            f"{path}: no alignment of tilt {missing[0]}; AreTomo leaves dark tilts out: use --exclude {missing[0]}"
        )
    table = np.array([rows[int(v)] for v in views])
    rotations = np.deg2rad(table[:, 1])
    # AreTomo shifts the raw image by (-TX, -TY) and then turns it
    return rotations, np.ones(len(table)), turn_shifts(table[:, [4, 3]], rotations)
