"""Run the Helsinki Tomography Challenge 2022 on the fan-beam operator: real X-ray data of 90 to 30 degrees, with truth.

    python examples/benchmarks/htc2022.py --data FOLDER --training FOLDER --levels 1,4,5,6,7 --output DIR

The data are on Zenodo (record 8041800, CC BY 4.0). FOLDER holds test phantoms: ``*_limited.mat`` is the scan,
``*_recon_fbp_seg.mat`` the truth and ``*_recon_fbp_seg_limited.mat`` the organisers' own result, the last two where they exist.
The training folder holds full scans of other discs (``*_full.mat``) with their truth. The score of an image is the Matthews
correlation with the truth; that of a level is the sum over its phantoms.

Nothing is tuned on the test phantoms. The correction of beam hardening is fitted on the training folder in every run. The
strength and the weight along z in SETTINGS were chosen on the training phantoms, cut to the ranges of the test.
"""

from __future__ import annotations

import argparse
import csv
import re
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from htc2022_data import Scan, draw, read_known_masks, read_scan
from htc2022_holes import find_holes, fit_hardening
from htc2022_learned import FINAL_SIZE, STRIDE, WEIGHTS, HoleNetwork, estimate_holes, load_network, refine_holes
from htc2022_learned import SIZE as NETWORK_SIZE
from numpy.typing import NDArray
from skimage.filters import threshold_otsu
from skimage.io import imsave

import tomoprior
from tomoprior.errors import FormatError

#: Widest range of tilts in degrees, strength in units of the rule of ``tv``, and weight along z.
SETTINGS = ((35, 4.0, 0.2), (360, 2.0, 0.25))
#: Voxels along an edge of the grid, and iterations of ``tv``.
SIZE, ITERATIONS = 256, 400


def segment_by_tv(
    scan: Scan, hardening: NDArray[np.float64], size: int = SIZE, iterations: int = ITERATIONS,
    setting: tuple[float, float] | None = None,
) -> NDArray[np.bool_]:  # fmt: skip
    """Return the mask of the disc, True where there is material, shape ``(scan.mask_size, scan.mask_size)``.

    What is reconstructed is the holes, with density 0 to 1 and zero outside the disc.
    """
    span = float(np.ptp(scan.degrees))
    strength, z_weight = setting or next((s, w) for widest, s, w in SETTINGS if span <= widest)
    holes = find_holes(scan, hardening, size)
    result = tomoprior.reconstruct(
        tomoprior.TiltSeries(holes.projections[:, None], holes.geometry),
        "tv",
        reg_par=strength * 0.005 * holes.geometry.n_angles * (size / 128) ** 2,
        z_weight=z_weight,
        num_iter=iterations,
        max_constraint=1.0,
        mask=holes.distances() <= -1,
        device="cpu",
        backend="astra-matrix",  # for a single slice faster than no matrix
    )
    image, inside = holes.turn_back(np.asarray(result.volume[:, 0]), scan.mask_size)
    return inside & (image <= threshold_otsu(image[inside]))


def segment_by_network(scan: Scan, hardening: NDArray[np.float64], network: HoleNetwork) -> NDArray[np.bool_]:
    """Return the mask of the disc: material is where the density of holes is below one half."""
    scan = scan.select(slice(None, None, STRIDE))
    estimate = estimate_holes(find_holes(scan, hardening, NETWORK_SIZE), network)
    holes = find_holes(scan, hardening, FINAL_SIZE)
    image, inside = holes.turn_back(refine_holes(holes, estimate), scan.mask_size)
    return inside & (image <= 0.5)


def matthews(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Return Matthews' correlation coefficient of two masks: 1 if they are equal, 0 for chance."""
    both, neither = float((a & b).sum()), float((~a & ~b).sum())
    first, second = float((a & ~b).sum()), float((~a & b).sum())
    product = (both + first) * (both + second) * (neither + first) * (neither + second)
    return (both * neither - first * second) / np.sqrt(product) if product else 0.0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the test phantoms")
    parser.add_argument("--training", type=Path, required=True, help="folder of the full training scans")
    parser.add_argument("--levels", type=lambda s: [int(v) for v in s.split(",")], default=[1, 4, 5, 6, 7])
    parser.add_argument("--output", type=Path, required=True, help="folder for masks, scores and a picture")
    parser.add_argument("--method", choices=["tv", "learned"], default="tv")
    parser.add_argument("--size", type=int, default=SIZE, help="voxels along an edge of the grid of tv")
    parser.add_argument("--iterations", type=int, default=ITERATIONS, help="iterations of tv")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="weights of the network, from htc2022_train.py")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse(arguments)
    try:
        network = load_network(args.weights) if args.method == "learned" else None
    except FormatError as error:
        raise SystemExit(str(error)) from None
    found = {
        level: [
            file for file in sorted(args.data.glob("*_limited.mat"))
            if re.search(rf"_0*{level}[a-z]_limited$", file.stem) and "_recon_" not in file.stem
        ]
        for level in args.levels
    }  # fmt: skip
    if not any(found.values()):
        raise SystemExit(f"{args.data} has no *_limited.mat of the levels {args.levels}")
    args.output.mkdir(parents=True, exist_ok=True)
    hardening = fit_hardening(args.training)
    print("path in mm =", " + ".join(f"{c:.4g} value^{k}" for k, c in enumerate(hardening, 1)))
    rows, pictures = [], []
    for level, files in found.items():
        for file in files:
            started = time.process_time()
            scan, masks = read_scan(file), read_known_masks(file)
            if network is None:
                masks["result"] = segment_by_tv(scan, hardening, args.size, args.iterations)
            else:
                masks["result"] = segment_by_network(scan, hardening, network)
            name, seconds = file.stem.removesuffix("_limited"), time.process_time() - started
            imsave(args.output / f"{name}.png", masks["result"].astype(np.uint8) * 255, check_contrast=False)
            score, fbp = (
                matthews(masks[key], masks["truth"]) if {key, "truth"} <= set(masks) else float("nan")
                for key in ("result", "fbp")
            )
            rows.append({"level": level, "phantom": name, "score": score, "fbp": fbp, "seconds": seconds})
            pictures.append((f"level {level}, {np.ptp(scan.degrees):g} degrees", masks, score))
            print(f"{name}: {score:.4f}, organisers' FBP {fbp:.4f}, {seconds:.1f} s of CPU", flush=True)
    with open(args.output / "scores.csv", "w", newline="", encoding="utf-8") as file_out:
        writer = csv.DictWriter(file_out, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    draw(pictures, f"tomoprior {args.method}", args.output / "htc2022.png")
    print("level  scores of the phantoms, sum")
    for level in args.levels:
        scores = [row["score"] for row in rows if row["level"] == level]
        print(f"{level}  {' '.join(f'{score:.4f}' for score in scores)}  {sum(scores):.4f}")


if __name__ == "__main__":
    main()
