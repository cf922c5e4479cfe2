"""Reading: any file as a volume."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tomoprior.errors import ReadingWarning
from tomoprior.formats.addresses import name_source
from tomoprior.formats.reading import open_stack
from tomoprior.geometry import Geometry
from tomoprior.reconstruction import Reconstruction


def read_volume(path: str | Path, *, dataset: str | None = None) -> Reconstruction:
    """Read a volume into memory, with its voxel size and unit.

    Parameters
    ----------
    path
        A file of any installed format; its axes are z, y, x.
    dataset
        Name of an array in an HDF5, Zarr or ``.npz`` file that holds several.

    Returns
    -------
    reconstruction
        ``volume`` is float32, shape ``(nz, ny, nx)``. The file does not know its projections: ``geometry`` has the grid, the
        voxel size and a single angle of zero.

    Raises
    ------
    FormatError
        One line that says what is wrong with the file.

    Examples
    --------
    >>> import numpy as np
    >>> from tomoprior.formats import read_volume, write
    >>> write(np.ones((3, 4, 5)), "ones.mrc", overwrite=True)
    >>> read_volume("ones.mrc").volume.mean()
    np.float32(1.0)
    """
    path = Path(path)
    options: dict[str, Any] = {} if dataset is None else {"dataset": dataset}
    stack = open_stack(path, **options)
    for line in stack.warnings:
        warnings.warn(line, ReadingWarning, stacklevel=2)
    geometry = Geometry([0.0], stack.data.shape, voxel_size=stack.voxel_size, unit=stack.unit)
    return Reconstruction(np.ascontiguousarray(stack.data[...], np.float32), geometry, provenance={"source": name_source(path)})
