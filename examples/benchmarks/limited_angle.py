"""What ``diffusion`` has to reach on tissue: bars against the best classical method, each tuned, measured in one run.

    TOMOPRIOR_DATA=... python examples/benchmarks/limited_angle.py [--bars accuracy,slice,shifted,speed,calibration]

Series are simulated from the validation volume with the simulator's default noise and misalignment: 32 x 96 x 96 voxels of 20
nm, ranges of 10, 20, 40, 60 and 120 degrees (steps of 1, then of 2). Every method sees the same projections, in which each
tilt's brightness has been brought to the common mean. One parameter of every classical method is tuned for each range on
series of the training volume, by their truth; ``diffusion`` is not tuned here, and never saw the validation volume. PSNR in dB
for a data range of 1, no rescaling to the truth; mean FSC of the missing region up to 0.25 cycles per voxel. Prints a line for
each bar, and writes all rows as CSV to -o.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from pathlib import Path

import limited_angle_opponents as opponents
import numpy as np
import torch
from limited_angle_cases import RANGES, Case, case, tissue

from tomoprior import metrics, reconstruct

#: The bars in dB over the best of the others.
BARS = {60: 2.5, 120: 2.0, 40: 1.5, 20: 1.0, 10: 1.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("accuracy", "slice", "shifted", "speed", "calibration")
    parser.add_argument("--bars", type=lambda s: s.split(","), default=["accuracy", "shifted", "speed", "calibration"])
    parser.add_argument("--ranges", type=lambda s: [int(v) for v in s.split(",")], default=list(RANGES))
    parser.add_argument("--slabs", type=int, default=6)
    parser.add_argument("--tuning", type=int, default=2, help="slabs of the training volume that parameters are tuned on")
    parser.add_argument("--prior", help="file or name; by default the one that comes along")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--num-iter", type=int, default=20)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TOMOPRIOR_DATA", ".")))
    parser.add_argument("--threads", type=int)
    parser.add_argument("-o", "--out", type=Path, default=Path("limited_angle.csv"))
    args = parser.parse_args()
    if unknown := set(args.bars) - set(names):
        parser.error(f"no bar {unknown.pop()!r}; there are {', '.join(names)}")
    torch.set_num_threads(args.threads or torch.get_num_threads())
    values = {"samples": args.samples, "num_iter": args.num_iter, **({"prior": args.prior} if args.prior else {})}
    training, validation = tissue(args.data, "train_520.tif"), tissue(args.data, "validation_250.tif")
    failed = False
    if {"accuracy", "slice"} & set(args.bars):
        failed |= accuracy(training, validation, args, values)
    if "shifted" in args.bars:
        failed |= shifted(validation, values)
    if "speed" in args.bars:
        failed |= speed(validation, {**values, "samples": 8, "num_iter": 20})
    if "calibration" in args.bars:
        failed |= calibration(validation, values)
    sys.exit(1 if failed else 0)


def accuracy(training, validation, args, values) -> bool:
    """All methods on all slabs; True if a bar is missed."""
    rows, failed = [], False
    for span in args.ranges:
        chosen = opponents.tuned([case(training, span, 10 + i) for i in range(args.tuning)], args.prior or "tissue")
        found: dict[str, list[dict[str, float]]] = {}
        for i in range(args.slabs):
            made = case(validation, span, 100 + i)
            runs = dict(chosen)
            runs["diffusion"] = lambda c: reconstruct(c.series, "diffusion", **values).volume
            if "slice" in args.bars:
                runs["diffusion.slice"] = lambda c: reconstruct(c.series, "diffusion.slice", **{**values, "prior": None}).volume
            for name, run in runs.items():
                start = time.perf_counter()
                volume = run(made)
                row = {"range": span, "slab": i, "method": name, **scores(made, volume), "seconds": time.perf_counter() - start}
                found.setdefault(name, []).append(row)
                rows.append(row)
        keys = ("psnr", "ssim", "fsc", "rmse", "structure", "seconds")
        means = {n: {k: float(np.mean([r[k] for r in of])) for k in keys} for n, of in found.items()}
        for name, mean in means.items():
            print(f"{span:4d} deg  {name:16s}" + "".join(f" {k} {v:8.4g}" for k, v in mean.items()), flush=True)
        others = {n: m for n, m in means.items() if not n.startswith("diffusion")}
        ours, best = means["diffusion"], max(others, key=lambda n: others[n]["psnr"])
        text = f"{span} degrees: diffusion {ours['psnr']:.2f} dB over {best} {others[best]['psnr']:.2f}"
        failed |= say(text, ours["psnr"] - others[best]["psnr"], BARS[span])
        for key in ("ssim", "fsc"):
            best = max(others, key=lambda n: others[n][key])
            text = f"{span} degrees: {key} {ours[key]:.4f} over {best} {others[best][key]:.4f}"
            failed |= say(text, ours[key] - others[best][key], 0)
        if "diffusion.slice" in means and span <= 20:
            text = f"{span} degrees: diffusion over diffusion.slice {means['diffusion.slice']['psnr']:.2f}"
            failed |= say(text, ours["psnr"] - means["diffusion.slice"]["psnr"], 0.5)
    with open(args.out, "w", newline="", encoding="ascii") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return failed


def shifted(validation, values) -> bool:
    """One tilt shifted by 8 pixels, with the weighting and without."""
    made = case(validation, 60, 100)
    moved = made.with_shifted_tilt(made.series.geometry.n_angles // 3, 8)
    psnr = {
        (where, robust): scores(c, reconstruct(c.series, "diffusion", robust=robust, **values).volume)["psnr"]
        for where, c in (("as it is", made), ("shifted", moved))
        for robust in (True, False)
    }
    loss = psnr["as it is", True] - psnr["shifted", True]
    without = psnr["as it is", False] - psnr["shifted", False]
    print(f"a tilt shifted by 8 pixels costs {loss:.3f} dB with the weighting, {without:.3f} dB without", flush=True)
    return say("loss by a shifted tilt, 0.3 dB at most", 0.3 - loss, 0) | say("more without the weighting", without - loss, 0)


def speed(validation, values) -> bool:
    """128 x 128 x 32 voxels, 31 tilts, 8 samples."""
    made = case(validation, 60, 100, shape=(32, 128, 128))
    start = time.perf_counter()
    reconstruct(made.series, "diffusion", **values)
    seconds = time.perf_counter() - start
    return say(f"128 x 128 x 32 voxels, 31 tilts, 8 samples: {seconds:.0f} s", 360 - seconds, 0)


def calibration(validation, values) -> bool:
    """Standardised error and coverage on series that the calibration did not see."""
    failed = False
    for span in (20, 60, 120):
        made = case(validation, span, 105)
        found = reconstruct(made.series, "diffusion", **values)
        z = (found.volume - made.truth) / found.std
        variance, covered = float(np.mean(z**2)), float(np.mean(np.abs(z) <= 1.6449))
        share = f"90 % interval covers {100 * covered:.1f} %"
        print(f"{span} degrees: variance of the standardised error {variance:.3f}, {share}", flush=True)
        failed |= say("variance within 0.8 to 1.25", min(variance - 0.8, 1.25 - variance), 0)
        failed |= say("coverage within 85 to 95 %", min(covered - 0.85, 0.95 - covered), 0)
    return failed


def scores(made: Case, volume: np.ndarray) -> dict[str, float]:
    """RMSE, PSNR, SSIM and FSC of the missing region; and PSNR of the structure alone, every plane's mean error taken off.

    Where a section ends hardly shows in the tilts, and weighs much in the error: the last says what is left without that.
    """
    shared = (volume - made.truth).mean((1, 2), keepdims=True)
    missing = metrics.directional_fsc(volume, made.truth, made.series.geometry.angles)["missing"]
    return {
        "rmse": float(metrics.rmse(volume, made.truth)),
        "psnr": float(metrics.psnr(volume, made.truth, data_range=1.0)),
        "ssim": float(metrics.ssim(volume, made.truth, data_range=1.0)),
        "fsc": float(missing.mean(0.25)),
        "structure": float(metrics.psnr(volume - shared, made.truth, data_range=1.0)),
    }


def say(text: str, value: float, bar: float) -> bool:
    """Print a bar; True if it is missed."""
    print(f"{text}: {value:+.3f}, bar {bar:g}: {'pass' if value >= bar else 'FAIL'}", flush=True)
    return value < bar


if __name__ == "__main__":
    main()
