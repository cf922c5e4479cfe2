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
    "sirt": ("num_iter", (5, 10, 20, 40, 80, 160, 320, 640), {"min_constraint": 0}),
    "tv": ("reg_par", (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0), {"min_constraint": 0, "num_iter": 100}),
    "tikhonov": ("reg_par", (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0), {"num_iter": 40}),
}

#: All columns of the classical methods.
CLASSICAL: tuple[Key, ...] = (*(("unknown", name) for name in GRIDS), ("given", "sirt"), ("given", "tv"))

#: A single sample, which not every section has.
SAMPLE: Key = ("found", "sample")

#: Highest tilt range in degrees at which the prior of single slices is compared, and the one that single samples are scored at.
SLICES, SAMPLED = 20, 60

#: Settings of ``diffusion`` for its volume alone.
MEAN_ONLY = {"samples": 1, "num_iter": 1}


def classical(faces: str, name: str, value: float) -> Run:
    """A classical method with a value of its parameter; its volume is not negative anywhere."""
    parameter, _, beside = GRIDS[name]

    def run(c: Case) -> Reconstruction:
        mask = c.mask if faces == "given" else None
        found = reconstruct(c.series, name, mask=mask, **{parameter: value}, **beside)
        np.maximum(found.volume, 0, out=found.volume)
        return found

    return run


def strengths(cases: Sequence[Case], keys: Sequence[Key] = CLASSICAL) -> dict[str, float]:
    """Strength of each classical method with the highest mean PSNR on these cases, for faces unknown and given."""
    found: dict[str, float] = {}
    for faces, name in keys:
        values = GRIDS[name][1]
        scores = {v: np.mean([_psnr(classical(faces, name, v)(c).volume, c) for c in cases]) for v in values}
        best = max(values, key=lambda v: scores[v])
        edge = " (at the grid's edge)" if best in (values[0], values[-1]) else ""
        print(f"faces {faces}, {name}: {GRIDS[name][0]} {best:g}{edge}", flush=True)
        found[f"{faces} {name}"] = best
    return found


def tuned(found: dict[str, float]) -> dict[Key, Run]:
    """Every classical method with its value."""
    return {key: classical(*key, found[" ".join(key)]) for key in CLASSICAL if " ".join(key) in found}


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
    if span == SAMPLED and samples:
        runs[SAMPLE] = method("diffusion", samples=1, mean="samples", **own)
    if slices and span <= SLICES:
        runs["found", "diffusion.slice"] = method("diffusion.slice", **spread)
    return runs


def _psnr(volume: np.ndarray, c: Case) -> float:
    return float(-10 * np.log10(np.mean((volume - c.truth) ** 2)))
