"""Fit scale and offset of a volume to a reference.

Filtered back-projection has no zero frequency, and several methods have an arbitrary scale: without a fit their values differ
from a reference by a constant that nobody looks at. A fit also hides such an error, so no measure fits by default.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import InputError
from tomoprior.metrics._arrays import Floats, check_pair

Match = Literal["none", "affine", "moments"]


def match_scale(volume: Any, reference: Any, match: Match = "none") -> NDArray[np.float64]:
    """Return the volume with its scale and offset fitted to the reference.

    Parameters
    ----------
    volume, reference
        Arrays of one shape with any number of axes, NumPy or torch.
    match
        ``none``: the values stay. ``affine``: ``a * volume + b`` with the least squared difference from the reference. Its RMSE
        is never larger than that of ``moments``; it loses contrast where the two differ, and inverts a volume of inverted
        contrast (``a`` < 0). ``moments``: the volume gets the mean and the standard deviation of the reference.

    Returns
    -------
    volume
        float64, in the reference's unit.

    Raises
    ------
    InputError
        For shapes that differ, values that are not finite, an unknown ``match``, or a constant volume, which has no scale.
    """
    return match_checked(*check_pair(volume, reference), match)


def match_checked(volume: Floats, reference: Floats, match: Match) -> Floats:
    """Do the work of ``match_scale`` for arrays that are already checked."""
    if match == "none":
        return volume
    if match not in ("affine", "moments"):
        raise InputError(f"match must be none, affine or moments, got {match!r}")
    if volume.min() == volume.max():
        raise InputError("the volume is constant: it has no scale to match")
    deviation = volume - volume.mean()
    if match == "affine":
        scale = np.sum(deviation * (reference - reference.mean())) / np.sum(deviation**2)
    else:
        scale = reference.std() / deviation.std()
    return np.asarray(scale * deviation + reference.mean(), np.float64)
