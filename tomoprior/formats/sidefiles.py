"""Side files of a tilt series: angles (.tlt, .rawtlt, .txt, .csv, .mdoc) and IMOD's alignment (.xf)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tomoprior.errors import FormatError, InputError
from tomoprior.formats.angle_names import is_angle_name
from tomoprior.formats.angles import UNITS, check_angles, check_stated_unit
from tomoprior.formats.mdoc import mdoc_angles
from tomoprior.formats.raw import readable_bytes
from tomoprior.formats.tables import AngleColumn, read_angle_column, read_star_angles
from tomoprior.formats.text import MAX_BYTES
from tomoprior.formats.transforms import read_transforms
from tomoprior.storage.lazy import one_line

#: A pure shift may differ from the unit matrix by this: less than a pixel over a thousand.
XF_TOLERANCE = 1e-3

_ALIGNED = re.compile(r"_(ali|preali)$")
#: Endings of side files with angles, the best first: refined, nominal, AreTomo's list, the microscope's log.
_ENDINGS = (".tlt", ".rawtlt", "_TLT.txt", ".mdoc")


def read_angles(path: str | Path, *, unit: str | None = None) -> NDArray[np.float64]:
    """Read tilt angles from a side file.

    Parameters
    ----------
    path
        ``.tlt``, ``.rawtlt``, ``.txt``: one angle per line, or a table as AreTomo's ``.aln``; ``.csv``: a table with or without
        titles; ``.mdoc``: ``TiltAngle`` of each ``[ZValue = k]``, in the order of k; ``.star``, ``.tomostar``: the tilt angles
        of RELION and Warp; ``.npy``: an array.
    unit
        ``"degree"``, which such files hold, or ``"radian"``. By default degrees; a file whose numbers look like radians is
        refused, because they would be read as a range of three degrees.

    Returns
    -------
    angles
        In radians, shape ``(n,)``.

    Raises
    ------
    FormatError
        If the file cannot be read, is empty, or holds anything but finite numbers.
    InputError
        If its numbers cannot be tilt angles, look like radians, or ``unit`` is neither of the two.

    Examples
    --------
    >>> from tomoprior.formats.sidefiles import read_angles, write_angles
    >>> write_angles("series.tlt", [-1.0, 0.0, 1.0])
    >>> read_angles("series.tlt").round(6).tolist()
    [-1.0, 0.0, 1.0]
    """
    return read_angles_and_notes(path, unit=unit)[0]


def read_angles_and_notes(
    path: str | Path, *, unit: str | None = None, n: int | None = None
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Read tilt angles from a side file, as ``read_angles``, and return them with lines that a user should see.

    Parameters
    ----------
    path, unit
        As for ``read_angles``.
    n
        Number of tilts; None if any number will do.

    Returns
    -------
    angles
        In radians, shape ``(n,)``.
    notes
        Lines that a user should see.

    Raises
    ------
    FormatError, InputError
        As ``read_angles``, and InputError for another number of angles than ``n``.
    """
    path = Path(path)
    if unit not in (None, *UNITS):
        raise InputError(f"the unit of angles is 'degree' or 'radian', got {unit!r}")
    column = _read_column(path)
    if unit is None:
        check_stated_unit(column.values, str(path), column.unit)
    elif column.converted_from is not None:
        raise InputError(
            f"{path}: the title of its angles says {column.converted_from}, which is converted; leave angle_unit "
            "(--angle-unit) out"
        )
    angles, notes = check_angles(
        column.values, str(path), unit=unit or column.unit, n=n, lines=column.lines if column.lines else None
    )
    return angles, (*column.notes, *notes)


def _read_column(path: Path) -> AngleColumn:
    suffix = path.suffix.lower()
    if suffix == ".mdoc":
        return AngleColumn(mdoc_angles(path), [])
    if suffix in (".star", ".tomostar"):
        return read_star_angles(path)
    if suffix == ".npy":
        return AngleColumn(_array_of_angles(path), [])
    return read_angle_column(path, commas=suffix == ".csv")


def _array_of_angles(path: Path) -> NDArray[np.float64]:
    if readable_bytes(path, 6) != b"\x93NUMPY" or path.stat().st_size > MAX_BYTES:
        raise FormatError(f"{path}: not an array of angles")
    try:
        values = np.load(path, allow_pickle=False)
        if np.iscomplexobj(values):
            raise ValueError("complex numbers")
        return np.asarray(values, np.float64).reshape(-1)
    except Exception as error:  # NumPy evaluates the header as Python source, which can raise anything
        raise FormatError(f"{path}: not a readable array ({one_line(error)})") from error


def write_angles(path: str | Path, angles: ArrayLike) -> None:
    """Write angles as degrees, one per line with six decimals, as IMOD's ``.tlt``.

    Parameters
    ----------
    path
        The file; an existing one is replaced.
    angles
        In radians, shape ``(n,)``.
    """
    lines = (f"{value:.6f}\n" for value in np.rad2deg(np.asarray(angles, dtype=np.float64)))
    Path(path).write_text("".join(lines), encoding="ascii")


def find_angles(stack: str | Path) -> Path | None:
    """Return the best side file with angles beside a stack, or None: the first of ``list_angle_files``.

    Parameters
    ----------
    stack
        Path of the file with the images, which need not exist.
    """
    return next(iter(list_angle_files(stack)), None)


def list_angle_files(stack: str | Path) -> list[Path]:
    """Return all side files beside a stack that hold its angles, the best first.

    Refined angles (``.tlt``) come before nominal ones (``.rawtlt``, then AreTomo's ``NAME_TLT.txt``), and those before an
    ``.mdoc``; ``NAME.tlt`` comes before ``NAME.mrc.tlt``. For IMOD's ``NAME_ali.mrc`` the files of ``NAME``
    serve too, and for a folder of images the files in it (``.tlt``, ``.rawtlt``, ``.mdoc``, ``angles.txt``).

    Parameters
    ----------
    stack
        Path of the file with the images, which need not exist.

    Returns
    -------
    list of Path
        Existing files, without duplicates; empty if there are none.
    """
    stack = Path(stack)
    inside = _angle_files_in(stack) if stack.is_dir() else []
    stem = stack.with_suffix("").stem if stack.suffix.lower() in (".gz", ".bz2") else stack.stem
    stems = [stem, stack.name]
    if stack.suffix.lower() in (".gz", ".bz2"):
        stems.append(stack.stem)
    if _ALIGNED.search(stem):
        base = _ALIGNED.sub("", stem)
        stems += [base, f"{base}{stack.suffix}", f"{base}.mrc", f"{base}.st"]
    candidates = [stack.with_name(stem + ending) for ending in _ENDINGS for stem in stems]
    return [path for path in dict.fromkeys([*candidates, *inside]) if path.is_file()]


def _angle_files_in(folder: Path) -> list[Path]:
    """Return the files with angles among the images of a folder: by their endings, or texts with a name such as angles.txt."""
    endings = [ending for ending in _ENDINGS if ending.startswith(".")]
    files = sorted(folder.iterdir())
    by_ending = [path for ending in endings for path in files if path.suffix.lower() == ending]
    return by_ending + [path for path in files if path.suffix.lower() in (".txt", ".csv") and is_angle_name(path.stem)]


def read_shifts(path: str | Path) -> NDArray[np.float64]:
    """Read shifts from an IMOD ``.xf`` file.

    A line ``A11 A12 A21 A22 DX DY`` takes the raw image to the aligned one. ``Geometry.shifts`` is the distance of a picture
    from its right place, which is the opposite: ``(dy, dx) = -(DY, DX)``.

    Parameters
    ----------
    path
        The file, with one line for each tilt.

    Returns
    -------
    shifts
        ``(dy, dx)`` in pixels, shape ``(n, 2)``.

    Raises
    ------
    FormatError
        If the file cannot be read, or a line is not six finite numbers.
    InputError
        If a transform also rotates, stretches or shears the image by more than 1e-3: shifts cannot express that.
    """
    table = read_transforms(path)
    worst = np.abs(table[:, :4] - [1, 0, 0, 1]).max(axis=1)
    if worst.max() > XF_TOLERANCE:
        tilt = int(np.argmax(worst))
        raise InputError(
            f"{path}: the transform of tilt {tilt} rotates or stretches the image (by {worst[tilt]:.3g}), and shifts cannot "
            "express that; align the stack first (IMOD: newstack -xform)"
        )
    return -table[:, [5, 4]] + 0.0  # no negative zeros
