"""ASTRA's own system matrix, for the kernels ``line`` and ``strip``, and as the reference for ``linear_kernel``."""

from __future__ import annotations

from typing import Any

import astra
import numpy as np
from scipy import sparse


def export_matrix(kind: str, projection_geometry: Any, volume_geometry: Any) -> sparse.csr_matrix:
    """Return ASTRA's matrix of one slice as float32 with int32 indices; frees ASTRA's copies."""
    projector = astra.create_projector(kind, projection_geometry, volume_geometry)
    try:
        matrix_id = astra.projector.matrix(projector)
        try:
            matrix = astra.matrix.get(matrix_id)
        finally:
            astra.matrix.delete(matrix_id)
    finally:
        astra.projector.delete(projector)
    return sparse.csr_matrix((matrix.data.astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)
