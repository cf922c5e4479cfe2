"""Open a file as tissue: its grey values and the size of its voxels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from tomoprior.simulate import Tissue

#: A volume is read into memory where this many times its size is free, and block by block otherwise.
COPIES = 5


def open_tissue(path: Path, voxel_size: float | None, unit: str | None, *, bright_is_dense: bool) -> Tissue:
    """Open a volume of any format as tissue; the file's warnings are printed.

    Parameters
    ----------
    voxel_size
        Edge of the voxels; by default from the file.
    unit
        Unit of the tissue's voxels and of ``voxel_size``; by default from the file.

    Raises
    ------
    FormatError, InputError
        One line that names the file: it cannot be read, is no volume of tissue, or its voxel size is unknown.
    """
    import numpy as np

    from tomoprior import memory
    from tomoprior.errors import InputError
    from tomoprior.formats import open_stack, sidefiles
    from tomoprior.simulate import Tissue
    from tomoprior.units import convert_length

    stack = open_stack(path)
    for line in stack.warnings:
        typer.echo(f"note         {line}")
    if stack.angles is not None or sidefiles.find_angles(path) is not None:
        raise InputError(f"{path}: a tilt series with angles, not a volume of tissue")
    if voxel_size is None and stack.unit == "pixel":
        raise InputError(f"{path} does not say how large its voxels are: --tissue-voxel-size 10 --unit nanometer, say")
    if voxel_size is not None and unit is None and stack.unit == "pixel":
        raise InputError(f"{path} does not say in which unit --tissue-voxel-size is: --unit nanometer, say")
    length = unit or stack.unit
    size = convert_length(stack.voxel_size, stack.unit, length) if voxel_size is None else voxel_size
    grey = stack.data
    if COPIES * int(np.prod(grey.shape, dtype=object)) * np.dtype(grey.dtype).itemsize < memory.available():
        grey = np.asarray(grey[...])
    try:
        return Tissue.of(grey, size, length, bright_is_dense=bright_is_dense)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
