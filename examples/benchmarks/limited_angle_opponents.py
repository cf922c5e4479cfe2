"""Classical methods with the parameter that suits tissue best at a tilt range."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from limited_angle_cases import Case

from tomoprior import Projector, reconstruct
from tomoprior.methods.diffusion.measurement import prepare
from tomoprior.methods.diffusion.prior import load
from tomoprior.methods.diffusion.wiener import wiener

Run = Callable[[Case], np.ndarray]

#: Method, parameter, values to try and settings beside it.
GRIDS: dict[str, tuple[str, tuple, dict]] = {
    "wbp": ("cutoff", (0.1, 0.25, 0.5, 1.0), {"filter_name": "hann"}),
    "sirt": ("num_iter", (10, 20, 40, 80, 160), {"min_constraint": 0}),
    "sart": ("num_iter", (1, 3, 6, 12), {"min_constraint": 0}),
    "tv": ("reg_par", (0.1, 0.3, 1.0, 3.0, 10.0, 30.0), {"min_constraint": 0, "num_iter": 100}),
    "tikhonov": ("reg_par", (1.0, 3.0, 10.0, 30.0, 100.0, 300.0), {"num_iter": 40}),
}


def tuned(cases: Sequence[Case], prior: str) -> dict[str, Run]:
    """Every method with the value that has the highest mean PSNR on these cases."""
    found: dict[str, Run] = {}
    for name, (parameter, values, beside) in GRIDS.items():
        runs = {value: _run(name, {parameter: value, **beside}) for value in values}
        best = max(runs, key=lambda value: np.mean([_psnr(runs[value](c), c) for c in cases]))
        print(f"{name}: {parameter} {best:.4g}", flush=True)
        found[name] = runs[best]
    iterations = max((20, 60, 150), key=lambda n: np.mean([_psnr(_wiener(c, n, prior), c) for c in cases]))
    print(f"wiener: num_iter {iterations}", flush=True)
    found["wiener"] = lambda c: _wiener(c, iterations, prior)
    return found


def _run(name: str, settings: dict) -> Run:
    return lambda c: reconstruct(c.series, name, **settings).volume


def _wiener(c: Case, num_iter: int, prior: str) -> np.ndarray:
    """The linear estimate with the tissue's own spectrum, from the same weights that ``diffusion`` has."""
    spectrum = load(prior).spectrum
    with torch.no_grad():
        data = prepare(torch.from_numpy(c.series.projections), Projector(c.series.geometry, "cpu"), spectrum)
        u = data.crop(wiener(data, spectrum, num_iter, 0.0))
    return (data.scale.mean + data.scale.gain * u).numpy()


def _psnr(volume: np.ndarray, c: Case) -> float:
    return float(-10 * np.log10(np.mean((volume - c.truth) ** 2)))
