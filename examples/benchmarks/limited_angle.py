"""Measure ``diffusion`` and its opponents on stained tissue with scores that hardly reward a section's outline.

    python examples/benchmarks/limited_angle.py --data DATA [--ranges 10,20,60,120] [--bars accuracy,samples] [--figures FOLDER]

Series are simulated from a volume that the prior was not trained on, with the simulator's default noise and misalignment: 32 x
96 x 96 voxels of 20 nm, ranges of 10, 20, 60 and 120 degrees (steps of 1, then of 2). Every method sees the same projections,
in which each tilt's brightness is shifted to the common mean.

The position of a section's faces counts more in PSNR, SSIM and correlation than its whole inside. So there are three columns:
the faces are unknown, a method finds them from the tilts, or a mask gives them to all methods. In addition to PSNR and SSIM of
the whole volume there are scores of the inside alone: see ``limited_angle_scores``. The settings of each classical method are
tuned for each range on two sections of the training volume with their truth, which favours these methods; ``wiener`` and
``diffusion`` have their default settings.

Each run is written at once as a row of the CSV file -o: a restarted benchmark continues where it stopped. With --keep FOLDER
volumes are stored too, and not computed again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import limited_angle_checks as checks
import numpy as np
from limited_angle_bars import Bars, check_accuracy, check_samples, check_uncertainty
from limited_angle_cases import RANGES, SCORED_SEED, TUNING_SEED, Case, load_tissue, make_case
from limited_angle_figures import STD, draw_section, draw_tissue
from limited_angle_opponents import SAMPLE_RANGE, SLICE_RANGE, Key, Run, make_learned_runs, make_tuned_runs, tune_settings
from limited_angle_scores import score_accuracy, score_uncertainty
from limited_angle_table import Table

from tomoprior.errors import FormatError
from tomoprior.methods.diffusion.prior import load_prior

BARS = ("accuracy", "uncertainty", "samples", "denoiser", "clean", "slice", "speed")

#: Number of the section in the pictures; it has vacuum above and below.
DRAWN_SECTION = 2

#: Column and method whose standard deviation is scored.
DIFFUSION: Key = ("found", "diffusion")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", type=lambda s: s.split(","), default=list(BARS), help=", ".join(BARS))
    parser.add_argument("--ranges", type=lambda s: [int(v) for v in s.split(",")], default=[10, 20, 60, 120])
    parser.add_argument("--sections", type=int, default=6)
    parser.add_argument(
        "--samples",
        type=int,
        default=0,
        help="samples of each section, whose standard deviation is scored; default: the networks'",
    )
    parser.add_argument(
        "--spread", type=lambda s: [int(v) for v in s.split(",")],
        help="sections, counted from 0, with this number of samples; they run first, and only the mean of the others is scored",
    )  # fmt: skip
    parser.add_argument("--prior", help="file or name of the prior; default: tissue")
    parser.add_argument("--figures", type=Path, help="only draw pictures, into this folder")
    parser.add_argument("--keep", type=Path, help="folder for reconstructed volumes")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TOMOPRIOR_DATA", ".")))
    parser.add_argument("-o", "--out", type=Path, default=Path("limited_angle.csv"))
    args = parser.parse_args()
    if unknown := set(args.bars) - set(BARS):
        parser.error(f"no bar {unknown.pop()!r}; there are {', '.join(BARS)}")
    if unknown := set(args.ranges) - set(RANGES):
        parser.error(f"no range of {unknown.pop()} degrees; there are {', '.join(map(str, RANGES))}")
    training, validation = load_tissue(args.data, "train_520.tif"), load_tissue(args.data, "validation_250.tif")
    prior_setting = {} if args.prior is None else {"prior": args.prior}
    prior = load_prior(args.prior or "tissue")
    if args.figures is not None:
        args.figures.mkdir(parents=True, exist_ok=True)
        for span in args.ranges:
            draw_case(make_case(validation, span, SCORED_SEED + DRAWN_SECTION), span, args, prior_setting)
        draw_tissue(*checks.sample_unconditionally(validation, prior), args.figures)
        return
    bars = Bars()
    if set(args.bars) & {"accuracy", "uncertainty", "samples", "slice"}:
        print_table_bars(bars, measure_all(training, validation, args), args)
    if "denoiser" in args.bars:
        checks.check_denoiser(bars, validation, prior)
    if "clean" in args.bars:
        checks.check_clean_series(bars, training, validation, prior_setting)
    if "speed" in args.bars:
        checks.check_speed(bars, validation, prior_setting)
    print(f"bars missed: {bars.missed}", flush=True)
    sys.exit(1 if bars.missed else 0)


def measure_all(training, validation, args) -> Table:
    """Run every method on every section, section by section."""
    table = Table(args.out)
    slices = "slice" in args.bars and any(span <= SLICE_RANGE for span in args.ranges) and has_slice_prior()
    prior_setting = {} if args.prior is None else {"prior": args.prior}
    opponents: dict[int, dict[Key, Run]] = {}
    sampled_sections = range(args.sections) if args.spread is None else args.spread
    for section in sorted(range(args.sections), key=lambda section: section not in sampled_sections):
        samples = args.samples if section in sampled_sections else 0
        for span in args.ranges:
            if span not in opponents:
                if str(span) not in (tuning := load_settings(args.out)):
                    print(f"{span} degrees", flush=True)
                    tuning[str(span)] = tune_settings([make_case(training, span, TUNING_SEED + i) for i in range(2)])
                    find_tuning_file(args.out).write_text(json.dumps(tuning, indent=1), encoding="ascii")
                opponents[span] = make_tuned_runs(tuning[str(span)])
            runs = opponents[span] | make_learned_runs(span, prior_setting, samples, slices)
            missing = {key: run for key, run in runs.items() if (span, section, *key) not in table.rows}
            if not missing:
                continue
            c = make_case(validation, span, SCORED_SEED + section)
            for key, run in missing.items():
                start = time.perf_counter()
                volume, std = reconstruct_or_load(run, c, args.keep, (span, section, *key))
                seconds = time.perf_counter() - start
                values = {
                    **score_accuracy(c, volume),
                    **({} if std is None or key != DIFFUSION else score_uncertainty(c, volume, std)),
                }
                values |= {"spoilt": len(c.spoilt), "samples": samples, "seconds": seconds}
                table.add(span, section, key, values)
            table.print_means(span)
    return table


def find_tuning_file(table: Path) -> Path:
    """Return the path of the tuned settings next to the table."""
    return table.with_suffix(".tuning.json")


def load_settings(table: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the stored settings of each range."""
    path = find_tuning_file(table)
    return json.loads(path.read_text(encoding="ascii")) if path.exists() else {}


def reconstruct_or_load(run: Run, c: Case, folder: Path | None, key: tuple) -> tuple[np.ndarray, np.ndarray | None]:
    """Return volume and standard deviation of a run, from the folder if it is stored there."""
    path = None if folder is None else folder / ("-".join(map(str, key)) + ".npz")
    if path is not None and path.exists():
        with np.load(path) as arrays:
            return arrays["volume"], arrays.get("std")
    result = run(c)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, volume=result.volume, **({} if result.std is None else {"std": result.std}))
    return result.volume, result.std


def draw_case(c: Case, span: int, args, prior_setting: dict[str, str]) -> None:
    """Draw pictures of one section at one range."""
    runs = make_learned_runs(span, prior_setting, args.samples, False)
    wiener, _ = reconstruct_or_load(runs["found", "wiener"], c, args.keep, (span, DRAWN_SECTION, "found", "wiener"))
    volume, std = reconstruct_or_load(runs[DIFFUSION], c, args.keep, (span, DRAWN_SECTION, *DIFFUSION))
    volumes = {"wiener, faces found": wiener, "diffusion: mean": volume, **({} if std is None else {STD: std})}
    draw_section(c, span, volumes, args.figures, prior_setting)


def print_table_bars(bars: Bars, table: Table, args) -> None:
    """Compare the scores of all ranges with their bars, and print the result."""
    for span in args.ranges:
        table.print_means(span)
        if {"accuracy", "slice"} & set(args.bars):
            check_accuracy(bars, table, span)
        if "uncertainty" in args.bars:
            check_uncertainty(bars, table, span)
    if "samples" in args.bars and SAMPLE_RANGE in args.ranges:
        check_samples(bars, table)


def has_slice_prior() -> bool:
    """Return whether the prior of single slices can be read."""
    try:
        load_prior("tissue-slice")
    except FormatError as error:
        print(f"diffusion.slice is left out: {error}", flush=True)
        return False
    return True


if __name__ == "__main__":
    main()
