"""Agreement of reconstructions from the even and from the odd tilts, where tilts measured and where none did."""

from __future__ import annotations

from typing import Any

from tomoprior.comparison.evidence.curves import curve
from tomoprior.comparison.shared import Reconstruct, SharedInput
from tomoprior.comparison.shared import halves as in_two
from tomoprior.metrics import directional_fsc

#: Between independent halves of the data (Rosenthal and Henderson, J. Mol. Biol. 333 (2003) 721).
THRESHOLD = 0.143


def halves(arena: SharedInput, again: Reconstruct) -> dict[str, Any]:
    """Fourier shell correlation of the two, in the directions that the series measured and in the missing wedge.

    In the missing wedge neither half has data: agreement there says that a method infers the same twice, not that it is right.

    Raises
    ------
    InputError
        With fewer than four tilts.
    """
    even, odd = in_two(arena.series)
    first, second = again(even, "halves: even").volume, again(odd, "halves: odd").volume
    found = directional_fsc(first, second, arena.series.geometry.angles, mode="wedge")
    return {name: curve(one, THRESHOLD) for name, one in found.items()}
