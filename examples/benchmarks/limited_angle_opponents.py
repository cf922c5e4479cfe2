"""The methods that are compared, in three columns: faces unknown, found from the tilts, and given by a mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from limited_angle_cases import Case

from tomoprior import Reconstruction, reconstruct

#: Where the faces come from, and the method.
Key = tuple[str, str]
Run = Callable[[Case], Reconstruction]

#: Parameter of each classical method, values to try and settings beside it; none can be negative, see ``classical``.
GRIDS: dict[str, tuple[str, tuple, dict[str, Any]]] = {
    "sirt": ("num_iter", (5, 10, 20, 40, 80, 160), {"min_constraint": 0}),
    "tv": ("reg_par", (0.1, 0.3, 1.0, 3.0, 10.0, 30.0), {"min_constraint": 0, "num_iter": 100}),
    "tikhonov": ("reg_par", (1.0, 3.0, 10.0, 30.0, 100.0, 300.0), {"num_iter": 40}),
}

#: Those that are told the faces, too.
GIVEN = ("sirt", "tv")

#: Highest tilt range in degrees at which the prior of single slices is compared, and the one that single samples are scored at.
SLICES, SAMPLED = 20, 60

#: Settings of ``diffusion`` for its volume alone.
MEAN_ONLY = {"samples": 1, "num_iter": 1}


def classical(name: str, settings: dict[str, Any], given: bool) -> Run:
    """A classical method with its settings; its volume is not negative anywhere."""

    def run(c: Case) -> Reconstruction:
        found = reconstruct(c.series, name, mask=c.mask if given else None, **settings)
        np.maximum(found.volume, 0, out=found.volume)
        return found

    return run


def tuned(cases: Sequence[Case]) -> dict[Key, Run]:
    """Every classical method with the value that has the highest mean PSNR on these cases, whose truth it sees."""
    found: dict[Key, Run] = {}
    for faces, names in (("unknown", tuple(GRIDS)), ("given", GIVEN)):
        for name in names:
            parameter, values, beside = GRIDS[name]
            runs = {value: classical(name, {parameter: value, **beside}, faces == "given") for value in values}
            scores = {value: np.mean([_psnr(run(c).volume, c) for c in cases]) for value, run in runs.items()}
            best = max(values, key=lambda value: scores[value])
            edge = " (at the grid's edge)" if best in (values[0], values[-1]) else ""
            print(f"faces {faces}, {name}: {parameter} {best:g}{edge}", flush=True)
            found[faces, name] = runs[best]
    return found


def learned(span: int, own: dict[str, str], samples: int, slices: bool) -> dict[Key, Run]:
    """``wiener`` and ``diffusion`` for each of the columns, as they come; ``own`` names their prior.

    Where no standard deviation is asked for (``samples=0``, or faces given), ``diffusion`` draws a single short sample: its
    volume is the network's mean, which no sample enters.
    """
    spread: dict[str, Any] = {"samples": samples} if samples else MEAN_ONLY

    def method(name: str, given: bool = False, **values: Any) -> Run:
        return lambda c: reconstruct(c.series, name, mask=c.mask if given else None, **values)

    runs: dict[Key, Run] = {
        ("unknown", "wiener"): method("wiener", filled=True, **own),
        ("found", "wiener"): method("wiener", **own),
        ("given", "wiener"): method("wiener", given=True, **own),
        ("found", "diffusion"): method("diffusion", **spread, **own),
        ("given", "diffusion"): method("diffusion", given=True, **MEAN_ONLY, **own),
    }
    if span == SAMPLED:
        runs["found", "sample"] = method("diffusion", samples=1, mean="samples", **own)
    if slices and span <= SLICES:
        runs["found", "diffusion.slice"] = method("diffusion.slice", **spread)
    return runs


def _psnr(volume: np.ndarray, c: Case) -> float:
    return float(-10 * np.log10(np.mean((volume - c.truth) ** 2)))
