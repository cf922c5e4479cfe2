"""Train a prior of the diffusion method on your own volumes, and reconstruct a tilt series with it.

    python examples/train_prior.py --small              # a few steps on a simulated volume: shows the way, learns little
    python examples/train_prior.py train.tif other.tif --voxel-size 10 --unit nanometer --minutes 90 -o prior.safetensors

The tilt series is simulated from the second volume, which the training does not see. A useful prior needs an hour or more on
two cores, and volumes of 260 voxels along each edge. Its card says what it was trained for (voxel size, tilt range, thickness);
other series are refused. ``tomoprior train`` does the same from a shell, and more.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import tomoprior
from tomoprior.metrics import psnr
from tomoprior.simulate import Spheres, Tissue, tilt_series
from tomoprior.training import train

#: The smallest network and grid, on which a step takes a twentieth of a second.
SMALL = {
    "height": 16, "tile_size": 16, "field": (16, 32), "widths": (16, 16), "blocks": (1, 1), "batch_size": 1, "keep": 2,
    "tilts": (5, 9), "ranges": (20, 60), "tilt_step": (5, 10), "steps": 20, "warm_up": 5, "num_cg": 20,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("volumes", type=Path, nargs="*", help="two volumes of cubic voxels, any format, dark where dense")
    parser.add_argument("--voxel-size", type=float, help="edge of the volumes' voxels; default: that of their files")
    parser.add_argument("--unit", help="unit of the voxel size: nanometer, angstrom, ...")
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("-o", "--output", type=Path, default=Path("prior.safetensors"))
    parser.add_argument("--small", action="store_true", help="the smallest network, for twenty steps")
    args = parser.parse_args()
    if len(args.volumes) not in (0, 2):
        parser.error("give two volumes, one to train on and one to try the prior on, or none")
    if args.volumes:
        seen, unseen = (open_tissue(path, args.voxel_size, args.unit) for path in args.volumes)
    else:
        seen, unseen = (vesicles(64 if args.small else 288, seed) for seed in (1, 2))

    size = 1.2 * seen.voxel_size if args.small else 2 * seen.voxel_size  # of the series' voxels
    values = SMALL if args.small else {"minutes": args.minutes}
    with tomoprior.progress_bar("train") as progress:
        prior = train(
            seen, args.output, overwrite=True, progress=progress, voxel_size=(0.9 * size, 1.1 * size),
            card={"name": "example"}, **values,
        )  # fmt: skip
    print(f"wrote {args.output} after {prior.card['steps']} steps; its log is {args.output.with_suffix('.csv')}")

    shape, degrees = ((16, 16, 32), np.arange(-25, 26, 10)) if args.small else ((32, 64, 64), np.arange(-60, 61, 3))
    simulation = tilt_series(unseen, shape, np.deg2rad(degrees), seed=2, voxel_size=size)
    fast = {"samples": 2, "num_iter": 4} if args.small else {}
    with tomoprior.progress_bar("diffusion") as progress:
        result = tomoprior.reconstruct(simulation.series, "diffusion", prior=str(args.output), progress=progress, **fast)
    volumes = {"sirt": tomoprior.reconstruct(simulation.series, "sirt"), "diffusion": result}
    for name, volume in volumes.items():
        print(f"{name:<10} PSNR {psnr(volume.volume, simulation.truth.volume, match='affine'):.2f} dB")
    figure = tomoprior.plot.slices(volumes, reference=simulation.truth, std=True)
    figure.savefig(args.output.with_suffix(".png"))


def open_tissue(path: Path, voxel_size: float | None, unit: str | None) -> Tissue:
    stack = tomoprior.formats.open_stack(path)
    return Tissue.of(stack.data[...], voxel_size or stack.voxel_size, unit or stack.unit)


def vesicles(edge: int, seed: int) -> Tissue:
    """Hollow spheres, dark on bright, in voxels of 10 nm."""
    return Tissue.of(-Spheres.random((edge,) * 3, radius=(4, 10), fill=0.15, seed=seed).volume((edge,) * 3, 2), 10.0)


if __name__ == "__main__":
    main()
