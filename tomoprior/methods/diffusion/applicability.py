"""Whether a prior was made for a series; if not, what to do."""

from __future__ import annotations

import math

import numpy as np

from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.units import convert_length

#: Beyond the voxel sizes that it was trained on, a prior is still used within this factor.
SLACK = 1.15

#: A grid may be so many times as thick as a tile: it is tiled along z, and a section then has its faces in different tiles.
THICKEST = 2

#: The same for the tilt range.
RANGE_SLACK = 1.1


def voxel_size(geometry: Geometry, prior: Prior, *, check: bool) -> float:
    """The series' voxel in the prior's unit.

    Raises
    ------
    InputError
        If it is unknown or far from what the prior was trained on; with what to do.
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
            f"(--voxel-size and --unit), or set check_prior=false to take it for {typical:.3g} {prior.unit}"
        )
    size = convert_length(geometry.voxel_size, geometry.unit, prior.unit)
    if check and not low / SLACK <= size <= high * SLACK:
        if size < low:
            factor = max(2, round(typical / size))
            advice = f"bin by {factor} (--bin {factor}: {factor * size:.3g} {prior.unit})"
        else:
            advice = "train one for this voxel size: tomoprior train"
        raise InputError(
            f"voxels of {size:.4g} {prior.unit} are not what the prior was trained on ({low:g} to {high:g}): {advice}, "
            "or set check_prior=false to take the risk"
        )
    return size


def check(geometry: Geometry, prior: Prior, *, beyond: bool) -> None:
    """Refuse a slab much thicker than the tiles, and unless ``beyond`` is set a range that the prior never saw.

    Raises
    ------
    InputError
        With what to do.
    """
    height = THICKEST * prior.tile[0]
    nz = geometry.shape[0]
    if nz > height:
        factor = math.ceil(nz / height)
        raise InputError(
            f"a volume of {nz} voxels along z is thicker than the {height} that the prior is for: give the specimen's "
            f"thickness (--thickness), bin by {factor} (--bin {factor}), or train a prior of that height (height={_whole(nz)})"
        )
    degrees = np.rad2deg(geometry.angles)
    span = float(degrees.max() - degrees.min())
    low, high = prior.ranges
    if not beyond and not low / RANGE_SLACK <= span <= high * RANGE_SLACK:
        advice = (
            f"leave out the steepest tilts (--angle-range {-high / 2:g} {high / 2:g}), or use another method"
            if span > high
            else "use another method"
        )
        raise InputError(
            f"a tilt range of {span:.4g} degrees is not what the prior was trained on ({low:g} to {high:g}): {advice}, "
            "or set check_prior=false to take the risk"
        )


def _whole(nz: int) -> int:
    return math.ceil(nz / 8) * 8
