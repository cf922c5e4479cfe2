"""The comparison of Van Veen et al., IJMS 25 (2024) 5473: its table and the sweeps of its figure 5, on simulated phantoms.

    python examples/reproduce_coordinate_network.py --size small [--capsid 1f2n.cif] [--paper-recipe] [-o DIR]

Prints PSNR, SSIM and VIF as in the paper (metrics' paper mode), the mean Fourier shell correlation of the missing region up to
0.25 cycles per voxel, and the seconds of each method, on noise-free series over +-60 degrees by 2; then, for one phantom (the
capsid), on tilt steps of 1 to 8 degrees and ranges of 40 to 60. DIR receives table.csv, and figures of slices, curves and
lines. Grids z, y, x and times on 2 cores: small 48 x 64 x 128, 6 minutes; medium 64 x 128 x 256, about an hour; paper 256 x
1024 x 1024 (capsid 360^3), for a large machine. The paper's preset, cn-paper, runs only with --paper-recipe: at small and
medium on the middle 8 y-slices (at small half an hour per phantom), where every method then runs too. Finished volumes stay in
DIR, and a run with the same settings uses them again; delete DIR/kept to measure the times again.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from reproduce import plan
from reproduce.run import Run

from tomoprior import methods


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=plan.SIZES, default="small", metavar="small|medium|paper")
    parser.add_argument("--phantoms", type=lambda s: s.split(","), default=["spheres", "shapes", "capsid"])
    parser.add_argument(
        "--methods", type=lambda s: s.split(","), help=f"some of {','.join(plan.METHODS)}; default: all except cn-paper"
    )
    parser.add_argument("--paper-recipe", action="store_true", help="run cn-paper too (small: half an hour per phantom)")
    parser.add_argument("--sweep", default="capsid", help="phantom for the sweeps, or none (small: on its middle 16 slices)")
    parser.add_argument("--paper-sweep", action="store_true", help="run cn-paper in the sweeps too")
    parser.add_argument("--capsid", type=Path, help="1f2n.cif; by default models/1f2n.cif in TOMOPRIOR_DATA")
    parser.add_argument("--threads", type=int, help="threads of torch; default: torch's choice")
    parser.add_argument("-o", "--output", type=Path, default=Path("reproduction"))
    args = parser.parse_args()
    names = args.methods or [m for m in plan.METHODS if m != "cn-paper"] + ["cn-paper"] * args.paper_recipe
    if unknown := set(names) - set(plan.METHODS):
        parser.error(f"no method {unknown.pop()!r} here; the methods are {', '.join(plan.METHODS)}")
    args.methods = [m for m in names if plan.METHODS[m][0] in methods.available()]
    args.swept = [m for m in args.methods if m in plan.SWEPT] + ["cn-paper"] * args.paper_sweep
    if args.capsid is None and (folder := os.environ.get("TOMOPRIOR_DATA")):
        args.capsid = Path(folder, "models", "1f2n.cif")
    return args


if __name__ == "__main__":
    args = arguments()
    torch.set_num_threads(args.threads or torch.get_num_threads())
    run = Run(args)
    for phantom in filter(run.is_available, args.phantoms):
        run.compare(phantom)
    if args.sweep != "none" and run.is_available(args.sweep):
        run.sweep(args.sweep)
