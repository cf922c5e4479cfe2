"""Weight rays that a full turn measures once or twice, on a detector that is equally wide on either side of the axis.

With the axis off the middle ("half acquisition"), a turn of 360 degrees sees rays near the axis from both sides, and rays
farther out from one side only. Methods that sum over directions count both halves of a pair, so that a ray without a partner
must count twice. Wang, Med. Phys. 29 (2002) 1634, has smooth weights for the transition; here they end in a squared sine.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.geometry import Geometry
from tomoprior.methods.classical.angular import covers_full_turn

#: Distance of the axis from the middle, in pixels, within which only rays of the outermost pixel are without a partner.
CLOSE_TO_MIDDLE = 1.0
#: Width of the transition between rays with and without a partner, as a share of the detector.
TRANSITION = 1 / 8


def balanced_geometry(geometry: Geometry) -> Geometry:
    """Return the geometry of a detector that reaches equally far on either side of the axis, if a full turn needs it.

    For less than a full turn, and for an axis in the middle, this is the geometry itself.
    """
    _, nu = geometry.detector
    missing = nu - 2 * geometry.center  # columns to add on the left; negative: on the right
    if np.abs(missing).max() <= 2 * CLOSE_TO_MIDDLE or not covers_full_turn(geometry.angles):
        return geometry
    left, right = (math.ceil(max(0.0, float(columns.max()))) for columns in (missing, -missing))
    return replace(geometry, detector=(geometry.detector[0], left + nu + right), center=geometry.center + left)


def balance(projections: torch.Tensor, geometry: Geometry) -> tuple[torch.Tensor, Geometry]:
    """Return projections on a balanced detector, weighted so that every ray of a full turn counts once, and their geometry.

    Projections have the shape ``(n_angles, ny, nu)``. The weights of a ray and of its partner, half a turn away, add up to 2.
    A ray without a partner has the weight 2. The added columns are zero.
    """
    balanced = balanced_geometry(geometry)
    if balanced is geometry:
        return projections, geometry
    nu = geometry.detector[1]
    out = projections.new_zeros(balanced.range_shape)
    left = round(float((balanced.center - geometry.center)[0]))
    for rows in geometry.slice_groups():
        weights = _pair_weights(geometry, int(rows[0]))
        index = torch.from_numpy(rows).to(projections.device)
        out[:, index, left : left + nu] = projections[:, index] * torch.from_numpy(weights).to(projections)[:, None]
    return out, balanced


def _pair_weights(geometry: Geometry, y: int) -> NDArray[np.float64]:
    """Return the weights of slice ``y``, shape ``(n_angles, nu)``."""
    nu = geometry.detector[1]
    offsets = geometry.offsets(y)
    u = np.arange(nu) - (nu - 1) / 2 + offsets[:, None]
    # every tilt sees the rays with |u| below this; outside it, one of the two halves of the turn sees them
    both = max(0.0, nu / 2 - float(np.abs(offsets).max()))
    side = 1.0 if offsets.mean() > 0 else -1.0  # where the detector reaches farther
    width = max(min(both, TRANSITION * nu), 1e-9)
    step = np.clip((np.abs(u) - (both - width)) / width, 0, 1)
    return np.asarray(1 + np.sign(u) * side * np.sin(0.5 * math.pi * step) ** 2)
