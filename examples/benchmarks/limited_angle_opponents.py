"""The methods of the comparison in three columns: faces unknown, found from the tilts, or given by a mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from limited_angle_cases import Case

from tomoprior import Reconstruction, reconstruct

#: Source of the faces (unknown, found, given), and the method.
Key = tuple[str, str]
Run = Callable[[Case], Reconstruction]

#: Settings to try for each classical method; volumes are not negative, see ``make_classical_run``. Few iterations of ``tv`` are
#: another way of smoothing.
GRIDS: dict[str, list[dict[str, Any]]] = {
    "sirt": [{"num_iter": n, "min_constraint": 0} for n in (5, 10, 20, 40, 80, 160, 320, 640)],
    "tv": [
        {"reg_par": strength, "num_iter": n, "min_constraint": 0}
        for n in (100, 400)
        for strength in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
    ],
    "tikhonov": [{"reg_par": strength} for strength in (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)],
}

#: All columns of the classical methods.
CLASSICAL: tuple[Key, ...] = (*(("unknown", name) for name in GRIDS), ("given", "sirt"), ("given", "tv"))

#: Key of a single sample; not every section has one.
SAMPLE: Key = ("found", "sample")

#: Largest tilt range in degrees with the prior of single slices, and the tilt range of the scores of single samples.
SLICE_RANGE, SAMPLE_RANGE = 20, 60

#: Settings of ``diffusion`` without samples: the standard deviation is the error network's, if the prior has one.
NO_SAMPLES = {"samples": 0}


def make_classical_run(faces: str, name: str, settings: dict[str, Any]) -> Run:
    """Return a run of a classical method with these settings; negative voxels become zero."""

    def run(c: Case) -> Reconstruction:
        result = reconstruct(c.series, name, mask=c.mask if faces == "given" else None, **settings)
        np.maximum(result.volume, 0, out=result.volume)
        return result

    return run


def tune_settings(cases: Sequence[Case], keys: Sequence[Key] = CLASSICAL) -> dict[str, dict[str, Any]]:
    """Return each classical method's settings with the highest mean PSNR on these cases, for faces unknown and given."""
    tuned: dict[str, dict[str, Any]] = {}
    for faces, name in keys:
        best = max(GRIDS[name], key=partial(_score_settings, cases, faces, name))
        print(f"faces {faces}, {name}: {best}", flush=True)
        tuned[f"{faces} {name}"] = best
    return tuned


def make_tuned_runs(tuned: dict[str, dict[str, Any]]) -> dict[Key, Run]:
    """Return a run of each classical method with its tuned settings."""
    return {key: make_classical_run(*key, tuned[" ".join(key)]) for key in CLASSICAL if " ".join(key) in tuned}


def make_learned_runs(span: int, prior_setting: dict[str, str], samples: int, slices: bool) -> dict[Key, Run]:
    """Return runs of ``wiener`` and ``diffusion`` for each column, with default settings except the prior.

    With ``samples`` the standard deviation is theirs; the volume does not depend on them.
    """
    sample_settings: dict[str, Any] = {"samples": samples, "std": "samples"} if samples else NO_SAMPLES

    def method(name: str, given: bool = False, **values: Any) -> Run:
        return lambda c: reconstruct(c.series, name, mask=c.mask if given else None, **values)

    runs: dict[Key, Run] = {
        ("unknown", "wiener"): method("wiener", filled=True, **prior_setting),
        ("found", "wiener"): method("wiener", **prior_setting),
        ("given", "wiener"): method("wiener", given=True, **prior_setting),
        ("found", "diffusion"): method("diffusion", **sample_settings, **prior_setting),
        ("given", "diffusion"): method("diffusion", given=True, **NO_SAMPLES, **prior_setting),
    }
    if span == SAMPLE_RANGE and samples:
        runs[SAMPLE] = method("diffusion", samples=1, mean="samples", **prior_setting)
    if slices and span <= SLICE_RANGE:
        runs["found", "diffusion.slice"] = method("diffusion.slice", **sample_settings)
    return runs


def _score_settings(cases: Sequence[Case], faces: str, name: str, settings: dict[str, Any]) -> float:
    """Return the mean PSNR of a classical method with these settings."""
    run = make_classical_run(faces, name, settings)
    return float(np.mean([_compute_psnr(run(c).volume, c) for c in cases]))


def _compute_psnr(volume: np.ndarray, c: Case) -> float:
    return float(-10 * np.log10(np.mean((volume - c.truth) ** 2)))
