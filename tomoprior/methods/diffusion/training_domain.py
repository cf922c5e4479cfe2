"""Checks that a series lies in the prior's training domain; each error says what the user can do."""

from __future__ import annotations

import math

import numpy as np

from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.units import convert_length

#: Factor beyond the voxel sizes of the training within which a prior is still used.
VOXEL_SIZE_SLACK = 1.15

#: The same for the tilt range.
RANGE_SLACK = 1.1

#: Largest thickness of a grid in tiles. A thick grid is tiled along z, and the section's two faces then lie in different tiles.
MAX_TILES_ALONG_Z = 2


def convert_voxel_size(geometry: Geometry, prior: Prior, *, check: bool) -> float:
    """Return the series' voxel size in the prior's unit.

    Raises
    ------
    InputError
        If ``check`` is set and the voxel size is unknown or far from those of the training.
    """
    low, high = prior.voxel_sizes
    typical = math.sqrt(low * high)
    if "pixel" in (geometry.unit, prior.unit):
        if geometry.unit == prior.unit:
            return geometry.voxel_size
        if not check:
            return typical
        raise InputError(
            f"the voxel size is not known ({geometry.unit}), and the prior is for {low:g} to {high:g} {prior.unit}: give it "
            f"(--voxel-size and --unit), or set check_prior=false to assume {typical:.3g} {prior.unit}"
        )
    size = convert_length(geometry.voxel_size, geometry.unit, prior.unit)
    if check and not low / VOXEL_SIZE_SLACK <= size <= high * VOXEL_SIZE_SLACK:
        if size < low:
            factor = max(2, round(typical / size))
            advice = f"bin by {factor} (--bin {factor}: {factor * size:.3g} {prior.unit})"
        else:
            advice = "train a prior for this voxel size: tomoprior train"
        raise InputError(
            f"voxels of {size:.4g} {prior.unit} are outside the prior's training range ({low:g} to {high:g}): {advice}, "
            "or set check_prior=false to use the prior anyway"
        )
    return size


def check_grid_and_range(geometry: Geometry, prior: Prior, *, check_range: bool) -> None:
    """Refuse a grid much thicker than the tiles and, if ``check_range`` is set, a tilt range outside the training's.

    Raises
    ------
    InputError
        With advice for the user.
    """
    height = MAX_TILES_ALONG_Z * prior.tile[0]
    nz = geometry.shape[0]
    if nz > height:
        factor = math.ceil(nz / height)
        raise InputError(
            f"a volume of {nz} voxels along z exceeds the prior's limit of {height}: give the specimen's "
            f"thickness (--thickness), bin by {factor} (--bin {factor}), or train a prior of that height "
            f"(height={math.ceil(nz / 8) * 8})"
        )
    degrees = np.rad2deg(geometry.angles)
    span = float(degrees.max() - degrees.min())
    low, high = prior.ranges
    if check_range and not low / RANGE_SLACK <= span <= high * RANGE_SLACK:
        advice = (
            f"leave out the steepest tilts (--angle-range {-high / 2:g} {high / 2:g}), or use another method"
            if span > high
            else "use another method"
        )
        raise InputError(
            f"a tilt range of {span:.4g} degrees is outside the prior's training range ({low:g} to {high:g}): {advice}, "
            "or set check_prior=false to use the prior anyway"
        )
