"""Find specimens that are wider than the detector or the grid, by the borders of the projections and by the axis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.geometry import Geometry

#: Number of tilts that are examined.
SAMPLED = 5
#: Share of a tilt's largest value, averaged over rows, above which its border is not empty.
EMPTY = 0.1
#: Distance of the axis from the middle, as a share of the detector, above which a full turn is half acquisition.
OFF_MIDDLE = 1 / 16


def describe_field_of_view(projections: Any, geometry: Geometry, weights: Any = None) -> list[str]:
    """Return lines for the user about a specimen that is wider than the grid; no line if the grid is wide enough.

    A section, thinner than it is wide, always continues beyond the detector. Methods pad its grid, and no line mentions it.

    Parameters
    ----------
    projections
        Shape ``geometry.range_shape``. Only a few tilts are read.
    weights
        Weights of the tilts or of the rays; rays of weight zero do not count.
    """
    nz, _, nx = geometry.shape
    nu = geometry.detector[1]
    if nu < 8:
        return []
    middle = float(np.mean(geometry.center))
    reach = max(middle, nu - middle)
    half = abs(middle - nu / 2) > OFF_MIDDLE * nu and _turns_around(geometry.angles)
    needed = 2 * math.ceil(reach)
    if half and min(nx, nz) < 0.98 * needed and nz >= nx:
        return [
            f"a full turn with the axis at {middle:.6g} of {nu} pixels (half acquisition) covers {needed} pixels, and the grid "
            f"is {nx} wide and {nz} thick: --width {needed} --thickness {needed} (width=, thickness=) hold it all"
        ]
    if nz < nx or nx > 1.25 * (needed if half else nu):
        return []
    share = _share_at_borders(projections, geometry, weights)
    if share <= EMPTY:
        return []
    return [
        f"the specimen extends beyond the detector (its borders hold {100 * share:.0f} % of the maximum): what lies outside "
        f"appears at the rim of the volume. A wider grid takes it up: --width {2 * nx} --thickness {2 * nz} (width=, "
        "thickness=); for a section, give its --thickness; for a background, --subtract auto"
    ]


def extends_beyond_detector(projections: Any, geometry: Geometry, weights: Any = None) -> bool:
    """Return whether the borders of the projections are not empty, so that the specimen goes on beyond the detector.

    For a full turn with the axis off the middle only the border far from the axis counts.

    Parameters
    ----------
    projections
        Shape ``geometry.range_shape``. Only a few tilts are read.
    weights
        Weights of the tilts or of the rays; rays of weight zero do not count.
    """
    return geometry.detector[1] >= 8 and _share_at_borders(projections, geometry, weights) > EMPTY


def _share_at_borders(projections: Any, geometry: Geometry, weights: Any) -> float:
    left, right = _border_shares(projections, geometry.n_angles, weights)
    nu, middle = geometry.detector[1], float(np.mean(geometry.center))
    if abs(middle - nu / 2) > OFF_MIDDLE * nu and _turns_around(geometry.angles):
        return right if middle < nu / 2 else left
    return max(left, right)


def _turns_around(angles: NDArray[np.float64]) -> bool:
    turned = np.sort(np.mod(angles, 2 * math.pi))
    return bool(np.diff(turned, append=turned[0] + 2 * math.pi).max() < math.pi / 2)


def _border_shares(projections: Any, n: int, weights: Any) -> tuple[float, float]:
    """Return the medians over some tilts of the left and the right border, as shares of the tilt's largest column."""
    shares = []
    for i in np.unique(np.linspace(0, n - 1, min(n, SAMPLED)).round().astype(int)):
        image = _to_array(projections[int(i)])
        used = np.broadcast_to(True if weights is None else _to_array(weights[int(i)]) > 0, image.shape)
        counts = used.sum(0)
        if not counts.any():
            continue
        columns = np.where(used, image, 0.0).sum(0)[counts > 0] / counts[counts > 0]
        edge = max(1, len(columns) // 32)
        top = np.max(np.abs(columns))
        if np.isfinite(top) and top > 0:
            shares.append((abs(columns[:edge].mean()) / top, abs(columns[-edge:].mean()) / top))
    if not shares:
        return 0.0, 0.0
    left, right = np.median(shares, axis=0)
    return float(left), float(right)


def _to_array(values: Any) -> NDArray[np.float64]:
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, np.float64)
