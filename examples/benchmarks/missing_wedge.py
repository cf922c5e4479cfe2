"""What ``wedge`` has to reach on phantoms: bars against the reconstruction that it begins with, measured in one run.

    python examples/benchmarks/missing_wedge.py [--phantoms spheres,capsid] [--capsid 1f2n.cif] [--size 128] [--threads 2]

Prints a table of scores and a line for each bar with what was measured, the bar and pass or fail; exits with 1 if any fails.
Phantoms are cubes, seed 1, +-60 degrees by 2, noise-free unless --snr says otherwise. PSNR in dB of the values as they are
and after scale and offset were fitted to the truth (``affine``: wbp loses the zero frequency, and giving that back is no gain
of a network's), SSIM, and the mean FSC up to 0.25 cycles per voxel over what the tilts measured and over what they did not.
``wedge`` never sees the truth. ``sirt`` (non-negative) and ``tv`` stand beside it without a bar. The CPU's seconds tell what it
takes where the machine has other work too. capsid needs 1f2n.cif (--capsid, or models in TOMOPRIOR_DATA).
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
#: Settings of what is compared; of wedge those of the preset.
OPPONENTS: dict[str, dict[str, Any]] = {"wbp": {}, "sirt": {"min_constraint": 0, "num_iter": 200}, "tv": {}}
SECONDS = 1800


def scores(made: Any, method: str, **settings: Any) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    volume = tomoprior.reconstruct(made.series, method, **settings).volume
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    truth = made.truth.volume
    found = evaluate(volume, truth, angles=ANGLES)
    found |= {"affine": evaluate(volume, truth, match="affine")["psnr"], "seconds": wall, "cpu": cpu}
    shown = [f"{found[k]:8.2f}" for k in ("psnr", "affine")]
    shown += [f"{found[k]:8.3f}" for k in ("ssim", "fsc_present_mean", "fsc_missing_mean")]
    print(f"{method:8}", *shown, f"{wall:8.0f} {cpu:8.0f}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("TOMOPRIOR_DATA")
    parser.add_argument("--phantoms", type=lambda s: s.split(","), default=["spheres", "capsid"])
    parser.add_argument("--capsid", type=Path, default=data and Path(data, "models", "1f2n.cif"))
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--snr", type=float)
    parser.add_argument("--opponents", type=lambda s: s.split(","), default=list(OPPONENTS), help="wbp is always there")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="settings of wedge")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if "capsid" in args.phantoms and not (args.capsid and args.capsid.is_file()):
        parser.error(f"capsid: no file {args.capsid or ''} (--capsid, or TOMOPRIOR_DATA); or --phantoms spheres")
    torch.set_num_threads(args.threads)
    say = Verdicts()
    for phantom in args.phantoms:
        file = {"file": args.capsid} if phantom == "capsid" else {}
        made = simulate(phantom, 3 * (args.size,), ANGLES, seed=1, snr=args.snr, **file)
        names = ("psnr", "affine", "ssim", "measured", "missing", "seconds", "cpu")
        print(f"\n{phantom:8}", *(f"{name:>8}" for name in names), flush=True)
        found = {name: scores(made, name, **OPPONENTS[name]) for name in dict.fromkeys(["wbp", *args.opponents])}
        ours, wbp = scores(made, "wedge", **dict(each.split("=", 1) for each in args.set)), found["wbp"]
        say.bar(phantom, "PSNR over wbp", ours["psnr"] - wbp["psnr"], 1.5)
        say.bar(phantom, "PSNR over wbp, both affine", ours["affine"] - wbp["affine"], 1.5)
        say.bar(phantom, "missing FSC over wbp", ours["fsc_missing_mean"] - wbp["fsc_missing_mean"], 0)
        say.bar(phantom, f"seconds left of {SECONDS}", SECONDS - ours["seconds"], 0)
    sys.exit(1 if say.failed else 0)


if __name__ == "__main__":
    main()
