"""Each method at its default against its own best setting on a coarse grid, judged by the truth.

    python examples/benchmarks/defaults.py [--rows spheres:10,tissue:low] [--methods wbp,sirt,tv] [--capsid 1f2n.cif]

A row is a specimen and a noise level: phantoms of 24 x 16 x 64 voxels with a signal-to-noise ratio per projection or without
noise, the capsid of 48 x 48 x 48 voxels, sections of tissue with all errors of a microscope at three doses, and 16 slices of
the real needle (needle/needle_aligned.mrc in TOMOPRIOR_DATA, or --needle) over 120 degrees against SIRT on its full range.
Tilts lie at -60 to 60 degrees by 3, seed 1. A cell is plain PSNR, then PSNR with scale and offset fitted, in dB: default, best
plain and best fitted of the grid, and the settings of the best plain one. A row takes under a minute of one core; with cn two.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import tomoprior
from tomoprior.metrics import psnr
from tomoprior.series import TiltSeries
from tomoprior.simulate import Tissue, cells, simulate, tilt_series

ANGLES = np.deg2rad(np.arange(-60, 61, 3))
#: Electrons per pixel and tilt of the tissue rows.
DOSES = {"low": 100.0, "medium": 1000.0, "high": 10000.0}
ROWS = [f"{p}:{n}" for p in ("spheres", "shapes", "foam", "capsid") for n in ("1", "10", "none")]
ROWS += [*(f"tissue:{dose}" for dose in DOSES), "needle:real"]
METHODS = ("wbp", "sirt", "sart", "cgls", "tikhonov", "tv", "cn")
#: Multiples of the strength that the default chooses, and numbers of iterations.
STRENGTHS = (1 / 8, 1 / 4, 1 / 2, 2, 4, 8)
COUNTS = {"sirt": (2, 5, 10, 20, 50, 100, 200, 500), "sart": (1, 2, 5, 10, 20, 50), "cgls": (1, 2, 3, 5, 8, 12, 20, 50)}


@dataclass(frozen=True)
class Row:
    """A series and the volume that judges it."""

    series: TiltSeries
    truth: NDArray[np.float32]


def make_row(name: str, files: dict[str, Path | None]) -> Row:
    """Simulate or read the series of ``specimen:noise``."""
    specimen, _, noise = name.partition(":")
    if specimen == "needle":
        whole = tomoprior.read(str(files["needle"])).rows(24, 40)
        reference = tomoprior.reconstruct(whole, "sirt", num_iter=100).volume
        return Row(whole.angle_range(ANGLES[0], ANGLES[-1]), reference)
    if specimen == "tissue":
        tissue = Tissue.of(cells((120, 120, 120), 16.0, seed=1), 16.0)
        recorded = tilt_series(tissue, (24, 16, 64), ANGLES, seed=1, voxel_size=20.0, dose=(DOSES[noise], DOSES[noise]))
        return Row(recorded.series, recorded.truth.volume)
    shape = (48, 48, 48) if specimen == "capsid" else (24, 16, 64)
    more = {"file": str(files["capsid"])} if specimen == "capsid" else {}
    made = simulate(specimen, shape, ANGLES, seed=1, snr=None if noise == "none" else float(noise), **more)
    return Row(made.series, made.truth.volume)


def grid(method: str, default: tomoprior.Reconstruction) -> Iterator[dict[str, Any]]:
    """Yield the settings that are compared with the truth."""
    settled = default.provenance.get("settled", {})
    if method == "wbp":
        for name, cutoff in [("ramp", 1), ("ramp", 0.5), ("hann", 1), ("hann", 0.5), ("hann", 0.25), ("hann", 0.12)]:
            yield {"filter_name": name, "cutoff": cutoff}
    elif method in COUNTS:
        steps = [{"relaxation": r} for r in (0.1, 0.5)] if method == "sart" else [{}]
        for bound in [{}] if method == "cgls" else [{"min_constraint": 0}, {"min_constraint": None}]:
            for step in steps:
                yield from ({**step, **bound, "num_iter": count} for count in COUNTS[method])
    elif method == "tikhonov":
        yield from ({"reg_par": value} for value in (0.01, 0.1, 1, 10, 30, 100, 300, 1000))
    elif method == "tv":
        bound, other = (0, None) if settled["min_constraint"] == 0 else (None, 0)
        yield from ({"reg_par": settled["reg_par"] * f, "min_constraint": bound, "num_iter": 200} for f in STRENGTHS)
        yield from ({"reg_par": settled["reg_par"] * f, "min_constraint": other, "num_iter": 200} for f in (1 / 4, 1, 4))
    elif method == "cn":
        fixed = {"degree": round(settled["degree"]), "num_iter": round(settled["num_iter"]), "stop": None}
        yield from ({**fixed, "reg_par": settled["reg_par"] * f} for f in (1 / 4, 4))
        yield from ({**fixed, "reg_par": settled["reg_par"], "num_iter": fixed["num_iter"] * f} for f in (2,))
        yield {**fixed, "reg_par": settled["reg_par"], "min_constraint": None}


def score(volume: NDArray[np.float32], truth: NDArray[np.float32]) -> tuple[float, float]:
    """Return the PSNR as it is, and with scale and offset fitted."""
    return psnr(volume, truth), psnr(volume, truth, match="affine")


def compare_with_best(row: Row, method: str) -> str:
    """Return the cells of a method: default, best, what was settled, and the seconds of the default."""
    started = time.process_time()
    default = tomoprior.reconstruct(row.series, method, device="cpu")
    seconds = time.process_time() - started
    own = score(default.volume, row.truth)
    tried: list[tuple[tuple[float, float], dict[str, Any]]] = [(own, {})]
    for settings in grid(method, default):
        volume = tomoprior.reconstruct(row.series, method, device="cpu", **settings).volume
        tried.append((score(volume, row.truth), settings))
    (plain, _), values = max(tried, key=lambda item: item[0][0])
    fitted = max(item[0][1] for item in tried)
    best = ", ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in values.items()) or "the default"
    settled = default.provenance.get("settled", {})
    shown = ", ".join(f"{k}={v:.3g}" if isinstance(v, int | float) else f"{k}={v}" for k, v in settled.items())
    below = max(plain - own[0], fitted - own[1])
    return (
        f"{own[0]:.1f}, {own[1]:.1f} | {plain:.1f}, {fitted:.1f} | {below:.1f} | {best} | {shown.replace('_by=', ' by ')} | "
        f"{seconds:.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("TOMOPRIOR_DATA")
    parser.add_argument("--rows", type=lambda s: s.split(","), default=ROWS)
    parser.add_argument("--methods", type=lambda s: s.split(","), default=list(METHODS))
    parser.add_argument("--capsid", type=Path, default=data and Path(data, "models", "1f2n.cif"))
    parser.add_argument("--needle", type=Path, default=data and Path(data, "needle", "needle_aligned.mrc"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("| row | method | default | best | below | best by the truth | settled | s |\n|---|---|---|---|---|---|---|---|")
    for name in args.rows:
        row = make_row(name, {"capsid": args.capsid, "needle": args.needle})
        for method in args.methods:
            print(f"| {name} | {method} | {compare_with_best(row, method)} |", flush=True)


if __name__ == "__main__":
    main()
