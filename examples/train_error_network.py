"""Give a prior an error network, which says the standard deviation of its mean without samples.

    python examples/train_error_network.py tissue --voxel-size 10 --tissue train.tif --calibration other.tif -o new.safetensors

Series are simulated from the tissue that the prior was trained on, and the prior's mean of each is computed: ten seconds for
each group of two on two CPU cores. ``--work`` keeps them, so that the same command continues after an interruption. Then the
error network is fitted, and its factors are measured on tissue that is new to the prior.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from tomoprior.formats import open_stack
from tomoprior.methods.diffusion.prior import load_prior
from tomoprior.progress import progress_bar
from tomoprior.simulate import Tissue
from tomoprior.training import ErrorTrainingSettings, TrainingSettings, calibrate_error_network, train_error_network


def load(path: Path, voxel_size: float) -> Tissue:
    return Tissue.of(np.asarray(open_stack(path).data[...]), voxel_size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prior", help="file or name of the prior")
    parser.add_argument("--tissue", type=Path, required=True, help="volume that the prior was trained on")
    parser.add_argument("--calibration", type=Path, required=True, help="other volume, for the factors")
    parser.add_argument("--voxel-size", type=float, required=True, help="voxel size of both volumes, nanometer")
    parser.add_argument("--seed", type=int, default=777, help="seed of the series; another one than the prior's training")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the error network's training"
    )
    parser.add_argument("--work", type=Path, help="folder that keeps the simulated series")
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    prior = load_prior(args.prior)
    # the series of the prior's own training, from its card
    series = TrainingSettings.parse(prior.card["settings"] | {"seed": args.seed, "group": 2})
    settings = ErrorTrainingSettings.parse(dict(pair.split("=", 1) for pair in args.set))
    with progress_bar("train") as step:
        prior = train_error_network(
            prior, load(args.tissue, args.voxel_size), series, settings=settings, folder=args.work, progress=step
        )
    prior = calibrate_error_network(prior, load(args.calibration, args.voxel_size), series, report=print)
    prior.card["error_network"] = {"settings": settings.model_dump(mode="json"), "series": {"seed": args.seed, "group": 2}}
    prior.save(args.out)
    print(*prior.error_calibration, sep="\n")


if __name__ == "__main__":
    main()
