"""What was inferred, in sentences for the user."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

INFERRED = (
    "what lies in the missing wedge, between the last tilt and the first one a half turn on, was inferred by a network trained "
    "on rotated pieces of the same volume: it is what the specimen looks like in the directions that were measured"
)

#: Share of the power below which a wedge counts as empty.
LITTLE = 0.01


def statement(angles: NDArray[np.float64], power: float, *, trained_here: bool, keep_measured: bool) -> list[str]:
    """Sentences on which part was measured; ``power`` is the share of the result's power in the missing wedge."""
    low, high = np.rad2deg([angles.min(), angles.max()])
    missing = 180 - (high - low)
    whose = "the same data" if trained_here else "another volume"
    lines = [
        f"no tilt measured the missing wedge of {missing:.4g} degrees ({100 * missing / 180:.0f} % of all directions about the "
        f"tilt axis): what lies in it was inferred by a network trained on {whose}, and holds {100 * power:.1f} % of the "
        "result's power"
    ]
    lines.append(
        "what was measured stays that of the reconstruction it began with"
        if keep_measured
        else "what was measured was changed too (keep_measured=False): the whole result is the network's prediction"
    )
    if power < LITTLE:
        lines.append(
            "that is next to nothing: noise hid what there was to learn (an initial volume from wbp with a smooth filter may "
            "help), or the training was too short"
        )
    lines.append("structure that appears nowhere in another orientation cannot be learned, and may be filled in wrongly")
    return lines
