"""Conversion of a ``Geometry`` to ASTRA's geometries.

In 2-D, ASTRA's y axis points up, against the rows of the image, so with ``Y = -Z`` our ``u = X cos - Z sin`` is ASTRA's
own ``u = X cos + Y sin``: the same angles, no flip. In 3-D, ASTRA's axes all grow with the index; its (x, y, z) are ours.
"""

from __future__ import annotations

from typing import Any

import astra
import numpy as np
from numpy.typing import NDArray

from tomoprior.geometry import Geometry


def vectors_2d(geometry: Geometry, y: int) -> NDArray[np.float64]:
    """Return ASTRA's ``parallel_vec`` rows for slice ``y``: ray, detector centre, pixel step; shape ``(n_angles, 6)``."""
    cos, sin = np.cos(geometry.angles), np.sin(geometry.angles)
    offset = geometry.offsets(y)
    return np.stack([sin, -cos, offset * cos, offset * sin, cos, sin], axis=1)


def vectors_3d(geometry: Geometry, y: int) -> NDArray[np.float64]:
    """Return ASTRA's ``parallel3d_vec`` rows for slices with the centre of slice ``y``; shape ``(n_angles, 12)``.

    A row holds ray, detector centre, step from column to column, step from row to row; the rotation axis is ASTRA's y.
    """
    cos, sin = np.cos(geometry.angles), np.sin(geometry.angles)
    zero, one = np.zeros_like(cos), np.ones_like(cos)
    offset = geometry.offsets(y)
    return np.stack([sin, zero, cos, offset * cos, zero, -offset * sin, cos, zero, -sin, zero, one, zero], axis=1)


def slice_geometries(geometry: Geometry, y: int) -> tuple[Any, Any]:
    """Return ASTRA's 2-D projection and volume geometry of slice ``y``: an image of ``nz`` rows and ``nx`` columns."""
    nz, _, nx = geometry.shape
    projections = astra.create_proj_geom("parallel_vec", geometry.detector[1], vectors_2d(geometry, y))
    return projections, astra.create_vol_geom(nz, nx)
