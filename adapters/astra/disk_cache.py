"""System matrices kept on disk between runs, for kernels that take long to export; off unless a folder is named."""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
import zipfile
from pathlib import Path

import astra
import numpy as np
from scipy import sparse

from tomoprior._version import __version__
from tomoprior.geometry import Geometry

from .geometry import vectors_2d

#: The folder; where the variable is not set, nothing is read or written.
VARIABLE = "TOMOPRIOR_CACHE_DIR"


def key(geometry: Geometry, y: int, kind: str) -> str:
    """What the matrix of slice ``y`` depends on, as a digest: rays, grid, kernel and the versions that computed it."""
    nz, _, nx = geometry.shape
    head = f"{kind} {nz} {nx} {geometry.detector[1]} {__version__} {astra.__version__}".encode()
    return hashlib.sha256(head + vectors_2d(geometry, y).tobytes()).hexdigest()


def load(geometry: Geometry, y: int, kind: str) -> sparse.csr_matrix | None:
    """The stored matrix, or None if there is none that can be read."""
    path = _path(geometry, y, kind)
    if path is None or not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            return sparse.csr_matrix((found["data"], found["indices"], found["indptr"]), shape=tuple(found["shape"]))
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        zipfile.BadZipFile,
    ):  # a damaged entry is as good as none: it is built again and replaced
        return None


def save(matrix: sparse.csr_matrix, geometry: Geometry, y: int, kind: str) -> None:
    """Store the matrix, whole or not at all; a cache that cannot be written is no error."""
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
    return Path(folder) / f"{key(geometry, y, kind)}.npz" if folder else None
