"""Bars for ``wedge`` on phantoms, relative to the reconstruction that it starts from, measured in one run.

    python examples/benchmarks/missing_wedge.py [--phantoms spheres,capsid] [--capsid 1f2n.cif] [--size 128] [--threads 2]

The script prints a table of scores and a line for each bar: the measured value, the bar, and pass or fail. It exits with 1 if
any bar fails. Phantoms are cubes, seed 1, +-60 degrees by 2, noise-free without --snr. Scores are PSNR in dB of the values, and
after a fit of scale and offset to the truth (``affine``: wbp loses the zero frequency, and its return is no gain of a network);
SSIM; and the mean FSC up to 0.25 cycles per voxel over the measured and over the missing frequencies. ``wedge`` never sees the
truth. ``sirt`` (non-negative) and ``tv`` are compared without a bar. CPU seconds do not depend on other work of the machine.
capsid needs 1f2n.cif (--capsid, or models in TOMOPRIOR_DATA).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from coordinate_network_runs import Verdicts

import tomoprior
from tomoprior.metrics import evaluate
from tomoprior.simulate import simulate

ANGLES = np.deg2rad(np.arange(-60, 61, 2))
#: Settings of the other methods; wedge uses those of its preset.
OPPONENTS: dict[str, dict[str, Any]] = {"wbp": {}, "sirt": {"min_constraint": 0, "num_iter": 200}, "tv": {"reg_par": "auto"}}
SECONDS = 1800


def measure_scores(simulation: Any, method: str, **settings: Any) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    volume = tomoprior.reconstruct(simulation.series, method, **settings).volume
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    truth = simulation.truth.volume
    scores = evaluate(volume, truth, angles=ANGLES)
    scores |= {"affine": evaluate(volume, truth, match="affine")["psnr"], "seconds": wall, "cpu": cpu}
    shown = [f"{scores[k]:8.2f}" for k in ("psnr", "affine")]
    shown += [f"{scores[k]:8.3f}" for k in ("ssim", "fsc_present_mean", "fsc_missing_mean")]
    print(f"{method:8}", *shown, f"{wall:8.0f} {cpu:8.0f}", flush=True)
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("TOMOPRIOR_DATA")
    parser.add_argument("--phantoms", type=lambda s: s.split(","), default=["spheres", "capsid"])
    parser.add_argument("--capsid", type=Path, default=data and Path(data, "models", "1f2n.cif"))
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--snr", type=float)
    parser.add_argument("--opponents", type=lambda s: s.split(","), default=list(OPPONENTS), help="methods besides wbp")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="settings of wedge")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if "capsid" in args.phantoms and not (args.capsid and args.capsid.is_file()):
        parser.error(f"capsid: no file {args.capsid or ''} (--capsid, or TOMOPRIOR_DATA); or --phantoms spheres")
    torch.set_num_threads(args.threads)
    say = Verdicts()
    for phantom in args.phantoms:
        file = {"file": args.capsid} if phantom == "capsid" else {}
        simulation = simulate(phantom, 3 * (args.size,), ANGLES, seed=1, snr=args.snr, **file)
        names = ("psnr", "affine", "ssim", "measured", "missing", "seconds", "cpu")
        print(f"\n{phantom:8}", *(f"{name:>8}" for name in names), flush=True)
        others = {name: measure_scores(simulation, name, **OPPONENTS[name]) for name in dict.fromkeys(["wbp", *args.opponents])}
        ours, wbp = measure_scores(simulation, "wedge", **dict(each.split("=", 1) for each in args.set)), others["wbp"]
        say.bar(phantom, "PSNR over wbp", ours["psnr"] - wbp["psnr"], 1.5)
        say.bar(phantom, "PSNR over wbp, both affine", ours["affine"] - wbp["affine"], 1.5)
        say.bar(phantom, "missing FSC over wbp", ours["fsc_missing_mean"] - wbp["fsc_missing_mean"], 0)
        say.bar(phantom, f"seconds left of {SECONDS}", SECONDS - ours["seconds"], 0)
    sys.exit(1 if say.failed else 0)


if __name__ == "__main__":
    main()
