"""IMOD's ``.xf`` and ``.prexg``: a linear transform of each image, read and written as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import FormatError
from tomoprior.formats.text import number, read_text
from tomoprior.storage.files import replace_atomically, reraise_disk_errors


def read_transforms(path: str | Path) -> NDArray[np.float64]:
    """Return the lines ``A11 A12 A21 A22 DX DY`` of an ``.xf`` or ``.prexg`` file, shape ``(n, 6)``.

    A line takes the raw image to the aligned one, about the middle of both; x comes before y.

    Parameters
    ----------
    path
        A text file of IMOD. ``DX`` and ``DY`` are in pixels.

    Raises
    ------
    FormatError
        If the file cannot be read, is empty, or a line is not six finite numbers.
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
    return np.array(rows)


def write_transforms(path: str | Path, table: NDArray[np.float64], *, overwrite: bool = False) -> None:
    """Write lines ``A11 A12 A21 A22 DX DY``, shape ``(n, 6)``, with seven and four decimals.

    Parameters
    ----------
    path
        The text file.
    table
        One transform for each image; ``DX`` and ``DY`` in pixels.
    overwrite
        Replace an existing file.

    Raises
    ------
    OutputExistsError, FormatError
        If the file exists and ``overwrite`` is not set, or it cannot be written.
    """
    lines = ("".join(f"{v:12.7f}" for v in row[:4]) + "".join(f"{v:12.4f}" for v in row[4:]) + "\n" for row in table)
    with replace_atomically(Path(path), overwrite=overwrite) as temporary, reraise_disk_errors(Path(path)):
        temporary.write_text("".join(lines), encoding="ascii")
