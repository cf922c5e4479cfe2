"""Scale and offset of a volume fitted to a reference, where that is asked for.

Filtered back-projection has no zero frequency and several methods have an arbitrary scale: without a fit, their values differ
from a reference by what no one looks at. A fit also hides such an error, so that no measure does it by default.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import InputError
from tomoprior.metrics._arrays import Floats, pair

Match = Literal["none", "affine", "moments"]


def match_scale(volume: Any, reference: Any, match: Match = "none") -> NDArray[np.float64]:
    """The volume with its scale and offset fitted to the reference.

    Parameters
    ----------
    volume, reference
        Of one shape, any number of axes, NumPy or torch.
    match
        ``none``: the values as they are. ``affine``: ``a * volume + b`` of the least squared difference from the reference; it
        never has a larger RMSE than ``moments``, loses contrast where the two differ, and turns a volume of inverted contrast
        over (``a`` < 0). ``moments``: given the mean and the standard deviation of the reference.

    Returns
    -------
    volume
        float64, in the reference's unit.

    Raises
    ------
    InputError
        For shapes that differ, values that are not finite, an unknown ``match``, or a constant volume, which has no scale.
    """
    return fitted(*pair(volume, reference), match)


def fitted(volume: Floats, reference: Floats, match: Match) -> Floats:
    """``match_scale`` of arrays that were checked."""
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
