"""Sentences for the user about the inferred part of a result."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

INFERRED = (
    "the content of the missing wedge, between the last tilt and the first tilt plus a half turn, was inferred by a network "
    "trained on rotated pieces of the same volume: it is what the specimen looks like in the measured directions"
)

#: Share of the power below which a wedge counts as empty.
LITTLE = 0.01


def statement(
    angles: NDArray[np.float64], power: float, *, trained_here: bool, keep_measured: bool, halves: bool = False
) -> list[str]:
    """Return sentences on the measured part; ``power`` is the share of the result's power in the missing wedge."""
    low, high = np.rad2deg([angles.min(), angles.max()])
    missing = 180 - (high - low)
    data = "the same data" if trained_here else "another volume"
    lines = [
        f"no tilt measured the missing wedge of {missing:.4g} degrees ({100 * missing / 180:.0f} % of all directions about the "
        f"tilt axis): its content was inferred by a network trained on {data}, and holds {100 * power:.1f} % of the "
        "result's power"
    ]
    lines.append(
        "the measured frequencies are those of the reconstruction that the training started from"
        if keep_measured
        else "the measured frequencies changed too (keep_measured=False): the whole result is the network's prediction"
    )
    if halves:
        lines.append("the network learned to predict each half of the frames from the other: noise is not learned")
    if power < LITTLE:
        lines.append(
            "this share is next to nothing: noise hid the structure to learn (an initial volume from wbp with a smooth filter "
            "may help, or halves of the frames), or the training was too short"
        )
    lines.append("structure that appears in no other orientation cannot be learned, and may be filled in wrongly")
    return lines
