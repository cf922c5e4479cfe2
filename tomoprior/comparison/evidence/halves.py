"""Agreement of the reconstructions from the even and from the odd tilts, in measured directions and in the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from tomoprior.comparison.evidence.curves import describe_curve
from tomoprior.comparison.shared import Reconstruct, SharedInput, split_halves
from tomoprior.metrics import fsc_of_halves, measured_region, soft_mask
from tomoprior.metrics.fourier import fade_out

#: Threshold between independent halves of the data (Rosenthal and Henderson, J. Mol. Biol. 333 (2003) 721).
THRESHOLD = 0.143


def halves(shared: SharedInput, reconstruct: Reconstruct) -> dict[str, Any]:
    """Return the Fourier shell correlation of the two, for the measured directions and for the missing wedge.

    Neither half has data in the missing wedge: agreement there shows that a method infers the same twice, not that it is right.

    Raises
    ------
    InputError
        For fewer than four tilts.
    """
    even, odd = split_halves(shared.series)
    first, second = reconstruct(even, "halves: even").volume, reconstruct(odd, "halves: odd").volume
    present = measured_region(first.shape, shared.series.geometry.angles, mode="wedge")
    regions = {"present": present, "missing": ~present}
    mask = fade_out(np.ones(first.shape))
    if shared.mask is not None:  # both halves are zero outside: its sharp edge must not count as agreement
        inside = shared.mask if shared.mask.ndim == 3 else shared.mask[:, None, :]
        mask = mask * soft_mask(np.broadcast_to(inside, first.shape))
    return {
        name: describe_curve(fsc_of_halves(first, second, region=region, mask=mask), THRESHOLD)
        for name, region in regions.items()
    }
