"""A TomoPy script, and the one line of it that changes.

    python examples/tomopy_one_line.py                                 # a simulated phantom
    python examples/tomopy_one_line.py scan.h5 --center 296 --method tv --num-iter 200

Where TomoPy is installed (conda-forge has it), its own ``tomopy.recon`` runs with ``tomoprior.algorithm``. Elsewhere
``tomoprior.recon`` runs, with the same signature, order of axes and result. Transmissions in the file become line integrals.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import tomoprior

try:
    import tomopy
except ImportError:
    tomopy = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", type=Path, nargs="?", help="HDF5 (Data Exchange, NXtomo) or any other readable format")
    parser.add_argument("--center", type=float, help="rotation axis: its index + 0.5; by default the middle")
    parser.add_argument("--method", default="sirt")
    parser.add_argument("--num-iter", type=int, default=100)
    parser.add_argument("-o", "--output", type=Path, default=Path("recon.npy"))
    parser.add_argument("--small", action="store_true", help="a phantom of 6 slices, 32 pixels wide")
    args = parser.parse_args()

    truth = None
    if args.scan is None:
        tomo, theta, center, truth = make_phantom((6, 32, 32) if args.small else (16, 96, 96))
    else:
        series = tomoprior.read(args.scan, minus_log=True)
        tomo, theta = series.load().projections, series.geometry.angles
        center = args.center or tomo.shape[2] / 2

    options = {"method": args.method, "num_iter": args.num_iter}
    if tomopy is not None:
        # before: recon = tomopy.recon(tomo, theta, center=center, algorithm="sirt", num_iter=100)
        recon = tomopy.recon(tomo, theta, center=center, algorithm=tomoprior.algorithm, options=options, ncore=1)
        print(f"tomopy.recon of TomoPy {tomopy.__version__}, algorithm=tomoprior.algorithm, {options}")
    else:
        recon = tomoprior.recon(tomo, theta, center=center, algorithm=args.method, num_iter=args.num_iter)
        print(f"TomoPy is not installed: tomoprior.recon instead, with {options}")

    with tomoprior.formats.replace_atomically(args.output, overwrite=True) as temporary:
        np.save(temporary, recon)
    print(f"wrote {args.output}: {recon.shape} (slice, row, column), {recon.dtype}")
    if truth is not None:
        print(f"PSNR {tomoprior.metrics.psnr(recon, truth):.2f} dB against the phantom")


def make_phantom(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
    """Return hollow spheres (slices, rows, columns) in TomoPy's order: radiographs, angles, centre, truth."""
    slices, rows, columns = shape
    center = columns / 2 + 0.8  # the axis is not in the middle of the detector
    geometry = tomoprior.Geometry(np.linspace(0, np.pi, 2 * columns, endpoint=False), (rows, slices, columns), center=center)
    spheres = tomoprior.simulate.Spheres.random(geometry.shape, radius=(2, 0.45 * slices), wall=0.5, fill=0.15, seed=1)
    return spheres.project(geometry), geometry.angles, center, spheres.volume(geometry.shape).swapaxes(0, 1)


if __name__ == "__main__":
    main()
