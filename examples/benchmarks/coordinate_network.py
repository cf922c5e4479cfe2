"""Bars for ``cn`` against the preset of Van Veen et al. 2024, ``wbp``, ``sirt`` and ``tv``, measured in one run.

    python examples/benchmarks/coordinate_network.py [--bars speed,quality,noise,needle] [--phantoms spheres,shapes,capsid]

Prints a line for each bar with the measured value, the bar and pass or fail, and lines without a bar; exits with 1 if any
fails.
Phantoms 48 x 64 x 128 (z, y, x), seed 1, +-60 degrees by 2; PSNR in dB and FSC of the missing region (mean up to 0.25 cycles
per voxel) as in the metrics' paper mode, on the needle PSNR and SSIM in the standard mode. ``cn`` never sees the truth. Where a
line says "at its best", the truth chooses iterations or strength of an opponent: the best choice for it. On 2 cores:
speed half an hour a phantom (the paper's preset on 8 slices; capsid is left out), quality and noise 6 minutes a phantom, needle
1. capsid needs 1f2n.cif (--capsid, or models in TOMOPRIOR_DATA), the needle needle_aligned.mrc (--needle, or needle in
TOMOPRIOR_DATA). --quick takes tiny grids and shortens the paper's preset, to test that all parts run: its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import coordinate_network_bars as bars
import numpy as np
import torch
from coordinate_network_runs import Verdicts

from tomoprior.simulate import simulate

SHAPE, TINY, ANGLES = (48, 64, 128), (16, 16, 40), np.deg2rad(np.arange(-60, 61, 2))
#: Not the seed of the phantoms on which the defaults were chosen.
SEED = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("TOMOPRIOR_DATA")
    names = ("speed", "quality", "noise", "needle")
    parser.add_argument("--bars", type=lambda s: s.split(","), default=list(names))
    parser.add_argument("--phantoms", type=lambda s: s.split(","), default=["spheres", "shapes", "capsid"])
    parser.add_argument("--capsid", type=Path, default=data and Path(data, "models", "1f2n.cif"))
    parser.add_argument("--needle", type=Path, default=data and Path(data, "needle", "needle_aligned.mrc"))
    parser.add_argument("--threads", type=int, help="threads of torch; default: torch's choice")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if unknown := set(args.bars) - set(names):
        parser.error(f"no bar {unknown.pop()!r}; the bars are {', '.join(names)}")
    phantoms = {p for p in args.phantoms if {"quality", "noise"} & set(args.bars)}
    needed = {"capsid": "capsid" in phantoms, "needle": "needle" in args.bars}
    for name, wanted in needed.items():
        file = getattr(args, name)
        if wanted and not (file and file.is_file()):
            parser.error(f"{name}: no file {file or ''} (--{name}, or TOMOPRIOR_DATA); or leave it out by --phantoms, --bars")
    torch.set_num_threads(args.threads or torch.get_num_threads())
    print(f"{torch.get_num_threads()} threads" + (", tiny grids: the numbers mean nothing" if args.quick else ""), flush=True)
    verdicts = Verdicts()
    for bar in args.bars:
        if bar == "needle":
            bars.needle(verdicts, args.needle)
            continue
        for phantom in args.phantoms:
            if (bar, phantom) != ("speed", "capsid"):
                file, noise = {"file": args.capsid} if phantom == "capsid" else {}, {"snr": 1} if bar == "noise" else {}
                simulation = simulate(phantom, TINY if args.quick else SHAPE, ANGLES, seed=SEED, **file, **noise)
                extra = {"num_iter": 20, "num_iter_next": 5} if args.quick and bar == "speed" else {}
                getattr(bars, bar)(verdicts, f"{bar} {phantom}", simulation.series, simulation.truth.volume, **extra)
    sys.exit(1 if verdicts.failed else 0)


if __name__ == "__main__":
    main()
