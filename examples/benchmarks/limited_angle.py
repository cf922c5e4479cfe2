"""Measure ``diffusion`` and its opponents on stained tissue, so that a section's outline alone earns little.

    python examples/benchmarks/limited_angle.py --data DATA [--ranges 10,20,60,120] [--bars accuracy,samples] [--figures FOLDER]

Series are simulated from a volume that the prior was not trained on, with the simulator's default noise and misalignment: 32 x
96 x 96 voxels of 20 nm, ranges of 10, 20, 60 and 120 degrees (steps of 1, then of 2). Every method sees the same projections,
in which each tilt's brightness has been brought to the common mean.

Where a section begins and ends weighs more in PSNR, SSIM and correlation than all that is inside. So there are three columns:
nobody knows the faces, a method finds them from the tilts, and all are told them; and besides PSNR and SSIM of the whole,
scores of the inside alone: see ``limited_angle_scores``. One parameter of each classical method is tuned for each range on
two sections of the training volume, by their truth, which favours them; ``wiener`` and ``diffusion`` are as they come.

Every run is a row of the CSV file -o, written at once: a benchmark that is started again goes on where it stopped. With --keep
FOLDER volumes are kept, too, and not computed again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import limited_angle_bars as bars_of
import limited_angle_checks as checks
import numpy as np
from limited_angle_bars import Bars
from limited_angle_cases import RANGES, SCORED, TUNING, Case, case, tissue
from limited_angle_figures import STD, draw_section, draw_tissue
from limited_angle_opponents import SAMPLED, SLICES, Key, Run, learned, strengths, tuned
from limited_angle_scores import accuracy, uncertainty
from limited_angle_table import Table

from tomoprior.errors import FormatError
from tomoprior.methods.diffusion.prior import load_prior

BARS = ("accuracy", "uncertainty", "samples", "denoiser", "clean", "slice", "speed")

#: The section whose pictures are drawn: there is vacuum above and below.
DRAWN = 2

#: The row whose standard deviation is scored.
OURS: Key = ("found", "diffusion")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", type=lambda s: s.split(","), default=list(BARS), help=", ".join(BARS))
    parser.add_argument("--ranges", type=lambda s: [int(v) for v in s.split(",")], default=[10, 20, 60, 120])
    parser.add_argument("--sections", type=int, default=6)
    parser.add_argument("--samples", type=int, default=8, help="of each section; their standard deviation is scored")
    parser.add_argument(
        "--spread", type=lambda s: [int(v) for v in s.split(",")],
        help="sections, counted from 0, that get so many samples, and come first; of others the mean alone is scored",
    )  # fmt: skip
    parser.add_argument("--prior", help="file or name; by default the one that comes along")
    parser.add_argument("--figures", type=Path, help="draw pictures into this folder, and nothing else")
    parser.add_argument("--keep", type=Path, help="folder for volumes")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TOMOPRIOR_DATA", ".")))
    parser.add_argument("-o", "--out", type=Path, default=Path("limited_angle.csv"))
    args = parser.parse_args()
    if unknown := set(args.bars) - set(BARS):
        parser.error(f"no bar {unknown.pop()!r}; there are {', '.join(BARS)}")
    if unknown := set(args.ranges) - set(RANGES):
        parser.error(f"no range of {unknown.pop()} degrees; there are {', '.join(map(str, RANGES))}")
    training, validation = tissue(args.data, "train_520.tif"), tissue(args.data, "validation_250.tif")
    own = {} if args.prior is None else {"prior": args.prior}
    prior = load_prior(args.prior or "tissue")
    if args.figures is not None:
        args.figures.mkdir(parents=True, exist_ok=True)
        for span in args.ranges:
            draw(case(validation, span, SCORED + DRAWN), span, args, own)
        draw_tissue(*checks.unconditional(validation, prior), args.figures)
        return
    bars = Bars()
    if set(args.bars) & {"accuracy", "uncertainty", "samples", "slice"}:
        of_table(bars, measure(training, validation, args), args)
    if "denoiser" in args.bars:
        checks.denoiser(bars, validation, prior)
    if "clean" in args.bars:
        checks.clean(bars, training, validation, own)
    if "speed" in args.bars:
        checks.speed(bars, validation, own)
    print(f"bars missed: {bars.missed}", flush=True)
    sys.exit(1 if bars.missed else 0)


def measure(training, validation, args) -> Table:
    """Run every method on every section, section by section."""
    table = Table(args.out)
    slices = "slice" in args.bars and any(span <= SLICES for span in args.ranges) and has_slices()
    own = {} if args.prior is None else {"prior": args.prior}
    opponents: dict[int, dict[Key, Run]] = {}
    spread = range(args.sections) if args.spread is None else args.spread
    for section in sorted(range(args.sections), key=lambda section: section not in spread):
        samples = args.samples if section in spread else 0
        for span in args.ranges:
            if span not in opponents:
                if str(span) not in (tuning := known(args.out)):
                    print(f"{span} degrees", flush=True)
                    tuning[str(span)] = strengths([case(training, span, TUNING + i) for i in range(2)])
                    tuning_file(args.out).write_text(json.dumps(tuning, indent=1), encoding="ascii")
                opponents[span] = tuned(tuning[str(span)])
            runs = opponents[span] | learned(span, own, samples, slices)
            missing = {key: run for key, run in runs.items() if (span, section, *key) not in table.rows}
            if not missing:
                continue
            c = case(validation, span, SCORED + section)
            for key, run in missing.items():
                start = time.perf_counter()
                volume, std = stored(run, c, args.keep, (span, section, *key))
                seconds = time.perf_counter() - start
                values = {**accuracy(c, volume), **({} if std is None or key != OURS else uncertainty(c, volume, std))}
                values |= {"spoilt": len(c.spoilt), "samples": samples, "seconds": seconds}
                table.add(span, section, key, values)
            table.show(span)
    return table


def tuning_file(table: Path) -> Path:
    """Path of the tuned strengths, beside the table."""
    return table.with_suffix(".tuning.json")


def known(table: Path) -> dict[str, dict[str, float]]:
    """The strengths that were found before, for each range."""
    path = tuning_file(table)
    return json.loads(path.read_text(encoding="ascii")) if path.exists() else {}


def stored(run: Run, c: Case, folder: Path | None, key: tuple) -> tuple[np.ndarray, np.ndarray | None]:
    """A run's volume and standard deviation, from the folder if they are there."""
    path = None if folder is None else folder / ("-".join(map(str, key)) + ".npz")
    if path is not None and path.exists():
        with np.load(path) as arrays:
            return arrays["volume"], arrays.get("std")
    found = run(c)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, volume=found.volume, **({} if found.std is None else {"std": found.std}))
    return found.volume, found.std


def draw(c: Case, span: int, args, own: dict[str, str]) -> None:
    """Pictures of one section at one range."""
    runs = learned(span, own, args.samples, False)
    wiener, _ = stored(runs["found", "wiener"], c, args.keep, (span, DRAWN, "found", "wiener"))
    volume, std = stored(runs[OURS], c, args.keep, (span, DRAWN, *OURS))
    volumes = {"wiener, faces found": wiener, "diffusion: mean": volume, **({} if std is None else {STD: std})}
    draw_section(c, span, volumes, args.figures, own)


def of_table(bars: Bars, table: Table, args) -> None:
    """The bars of all ranges."""
    for span in args.ranges:
        table.show(span)
        if {"accuracy", "slice"} & set(args.bars):
            bars_of.accuracy(bars, table, span)
        if "uncertainty" in args.bars:
            bars_of.uncertainty(bars, table, span)
    if "samples" in args.bars and SAMPLED in args.ranges:
        bars_of.samples(bars, table)


def has_slices() -> bool:
    """Whether the prior of single slices can be read."""
    try:
        load_prior("tissue-slice")
    except FormatError as error:
        print(f"diffusion.slice is left out: {error}", flush=True)
        return False
    return True


if __name__ == "__main__":
    main()
