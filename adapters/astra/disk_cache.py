"""A cache of system matrices on disk, for kernels that take long to export; in use only if the variable names a folder."""

from __future__ import annotations

import contextlib
import os
import uuid
import zipfile
from pathlib import Path

import astra
import numpy as np
from scipy import sparse

from tomoprior._version import __version__
from tomoprior.geometry import Geometry
from tomoprior.storage.digest import compute_digest

from .geometry import kernel_name, vectors_2d

#: Environment variable with the folder. If it is not set, nothing is read or written.
VARIABLE = "TOMOPRIOR_CACHE_DIR"


def matrix_key(geometry: Geometry, y: int, kind: str) -> str:
    """Return a digest of all that the matrix of slice ``y`` depends on: rays or fans, grid, kernel, and the versions in use."""
    nz, _, nx = geometry.shape
    head = f"{kernel_name(geometry, kind)} {nz} {nx} {geometry.detector[1]} {__version__} {astra.__version__}".encode()
    return compute_digest(head, vectors_2d(geometry, y))


def load_matrix(geometry: Geometry, y: int, kind: str) -> sparse.csr_matrix | None:
    """Return the stored matrix of shape ``(n_angles * nu, nz * nx)``, or None if no valid one exists.

    A damaged or foreign entry is not an error: it is built again and replaced. Its arrays are not compressed, so that they take
    no more memory than the file. Indices are checked, since torch does not check them and reads beyond the array.
    """
    path = _path(geometry, y, kind)
    if path is None or not path.is_file():  # a pipe would wait for a writer
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if any(member.compress_type != zipfile.ZIP_STORED for member in arrays.zip.infolist()):
                return None
            shape = (geometry.n_angles * geometry.detector[1], geometry.shape[0] * geometry.shape[2])
            matrix = sparse.csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
            matrix.check_format(full_check=True)
            return matrix
    except (OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError, MemoryError, zipfile.BadZipFile):
        return None


def save_matrix(matrix: sparse.csr_matrix, geometry: Geometry, y: int, kind: str) -> None:
    """Store the matrix atomically; a cache that cannot be written is not an error."""
    path = _path(geometry, y, kind)
    if path is None:
        return
    temporary = path.with_name(f"{path.stem}.{uuid.uuid4().hex[:8]}.part.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(temporary, data=matrix.data, indices=matrix.indices, indptr=matrix.indptr, shape=matrix.shape)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _path(geometry: Geometry, y: int, kind: str) -> Path | None:
    folder = os.environ.get(VARIABLE)
    return Path(folder) / f"{matrix_key(geometry, y, kind)}.npz" if folder else None
