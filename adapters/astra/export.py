"""ASTRA's own system matrix, for the kernels that are not built here, and as the reference for the one that is."""

from __future__ import annotations

from typing import Any

import astra
import numpy as np
from scipy import sparse


def export(kind: str, projection_geometry: Any, volume_geometry: Any) -> sparse.csr_matrix:
    """ASTRA's matrix of one slice as float32 with int32 indices; frees ASTRA's copies."""
    projector = astra.create_projector(kind, projection_geometry, volume_geometry)
    try:
        matrix_id = astra.projector.matrix(projector)
        try:
            found = astra.matrix.get(matrix_id)
        finally:
            astra.matrix.delete(matrix_id)
    finally:
        astra.projector.delete(projector)
    return sparse.csr_matrix((found.data.astype(np.float32), found.indices, found.indptr), shape=found.shape)
