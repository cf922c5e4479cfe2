"""Conversion of a ``Geometry`` to ASTRA's geometries.

In 2-D, ASTRA's y axis points up, against the rows of the image, so with ``Y = -Z`` our ``u = X cos - Z sin`` is ASTRA's
own ``u = X cos + Y sin``: the same angles, no flip. The source of a fan lies where ASTRA's ``fanflat`` has it. In 3-D, ASTRA's
axes all grow with the index; its (x, y, z) are ours.
"""

from __future__ import annotations

from typing import Any

import astra
import numpy as np
from numpy.typing import NDArray

from tomoprior.geometry import FanGeometry, Geometry


def vectors_2d(geometry: Geometry, y: int) -> NDArray[np.float64]:
    """Return ASTRA's vectors for slice ``y``, shape ``(n_angles, 6)``: ray or source, detector centre, pixel step.

    They are the rows of ``fanflat_vec`` for a fan, of ``parallel_vec`` otherwise.
    """
    cos, sin = np.cos(geometry.angles), np.sin(geometry.angles)
    offset = geometry.offsets(y)
    if not isinstance(geometry, FanGeometry):
        return np.stack([sin, -cos, offset * cos, offset * sin, cos, sin], axis=1)
    source, axis, pixel = geometry.source_distance, geometry.detector_distance, geometry.pixel_size
    offset = offset * pixel
    detector = [offset * cos - axis * sin, offset * sin + axis * cos]
    return np.stack([source * sin, -source * cos, *detector, pixel * cos, pixel * sin], axis=1)


def kernel_name(geometry: Geometry, kind: str) -> str:
    """Return ASTRA's name of a kernel: ``line_fanflat`` for ``line`` in a fan."""
    return f"{kind}_fanflat" if isinstance(geometry, FanGeometry) else kind


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
    grid = astra.create_vol_geom(nz, nx)
    if not isinstance(geometry, FanGeometry):
        return astra.create_proj_geom("parallel_vec", geometry.detector[1], vectors_2d(geometry, y)), grid
    if np.any(geometry.offsets(y)):
        return astra.create_proj_geom("fanflat_vec", geometry.detector[1], vectors_2d(geometry, y)), grid
    # the strip kernel of a fan knows this form only
    projections = astra.create_proj_geom(
        "fanflat", geometry.pixel_size, geometry.detector[1], geometry.angles, geometry.source_distance,
        geometry.detector_distance,
    )  # fmt: skip
    return projections, grid


def fan_refusal(geometry: Geometry, kind: str) -> str | None:
    """Return why ASTRA's CPU projectors cannot compute a fan with this kernel, None if they can or it is no fan."""
    if not isinstance(geometry, FanGeometry):
        return None
    if kind == "strip" and any(np.any(geometry.offsets(int(rows[0]))) for rows in geometry.slice_groups()):
        return "the strip kernel takes a fan with the axis in the middle of the detector only; use kind linear or line"
    return None
