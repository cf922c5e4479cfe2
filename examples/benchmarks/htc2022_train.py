"""Train the network of ``htc2022.py --method learned`` on made-up discs, and write its weights.

    python examples/benchmarks/htc2022_train.py --training FOLDER --output htc2022.safetensors --batches 3000

Scanner, voxels and hardening are those of the challenge's training folder; no test phantom is read. A training that stops
goes on from its state, which lies beside the output.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from htc2022_data import Scan, read_scan
from htc2022_learned import KEY, PASSES, SIZE, STRIDE, HoleModel, HoleNetwork, with_slices
from htc2022_phantoms import SIZE as FINE
from htc2022_phantoms import draw_phantom
from numpy.typing import NDArray
from torch.nn import functional as F

import tomoprior
from tomoprior.methods.learning.optimiser import Optimiser
from tomoprior.methods.learning.state import NetworkState, arrays_of, initial_parts, parts_like
from tomoprior.methods.learning.unet import build_seeded
from tomoprior.series.support import Disc
from tomoprior.storage.tensors import load_tensors, save_tensors

#: Ranges in degrees, and how often each is drawn: narrow ones are harder.
RANGES = {30: 0.36, 40: 0.24, 50: 0.16, 60: 0.14, 90: 0.1}
#: Discs of a batch.
BATCH = 8
#: Learning rate, the batches over which it grows at the start, and the share of all batches over which it falls at the end.
RATE, WARM_UP, FALL = 1.5e-3, 50, 0.4
#: Facts about the weights, in their file.
CARD = {
    "network": "2-D U-Net of htc2022_learned.py: holes in discs from fan-beam scans of 30 to 90 degrees",
    "data": "made-up discs of htc2022_phantoms.py, projected by ASTRA's strip kernel; no scan of the challenge",
    "scanner": "Helsinki Tomography Challenge 2022 (Zenodo 8041800): distances and pixels of its training scans",
    "licence": "GPL-3.0-or-later",
}
#: Longest time constant of the running average of the weights, in steps.
AVERAGE = 300


class Simulator:
    """Scans of made-up discs with the errors of real ones after the correction of beam hardening."""

    def __init__(self, scan: Scan, degrees: int) -> None:
        views = np.arange(degrees + 1) - degrees / 2
        n = scan.sinogram.shape[1] // (scan.mask_size // SIZE)
        scan = replace(scan.binned(scan.mask_size // SIZE), sinogram=np.zeros((len(views), n)), degrees=views)
        self.geometry = scan.geometry(SIZE)
        # other voxels and another kernel than those that invert
        self.fine = tomoprior.Projector(with_slices(scan.geometry(FINE), BATCH), "cpu", kind="strip", backend="astra-matrix")
        self.mm = scan.width / SIZE

    def draw(self, rng: np.random.Generator) -> tuple[HoleModel, torch.Tensor]:
        """Return what a reconstruction knows of ``BATCH`` discs, and their true holes ``(z, slices, x)``."""
        phantoms = [draw_phantom(rng) for _ in range(BATCH)]
        holes = torch.from_numpy(np.stack([holes for holes, _ in phantoms], 1))
        paths = self.fine(holes).numpy() * SIZE / FINE
        at = np.arange(SIZE) - (SIZE - 1) / 2
        data, distances = np.empty(paths.shape, np.float32), np.empty((SIZE, BATCH, SIZE), np.float32)
        for i, (_, place) in enumerate(phantoms):
            disc = Disc(*(SIZE * value for value in place))
            x, z, radius = rng.standard_normal(3) * [0.1, 0.15, 0.1]
            fitted = Disc(disc.x + x, disc.z + z, disc.radius + radius)
            data[:, i] = fitted.project(self.geometry) - self._measure(disc.project(self.geometry) - paths[:, i], rng)
            distances[:, i] = fitted.distances(at[None, :], at[:, None])
        truth = F.avg_pool2d(holes.permute(1, 0, 2)[:, None], FINE // SIZE)[:, 0].permute(1, 0, 2)
        return HoleModel(torch.from_numpy(data), with_slices(self.geometry, BATCH), torch.from_numpy(distances)), truth

    def _measure(self, paths: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        """Return path lengths in voxels with the errors that the training scans show: smooth ones of 1 to 3 %, and noise."""
        mm = np.maximum(paths, 0) * self.mm
        share, bend, step, slope = rng.standard_normal(4) * [0.015, 1.0, 0.4, 0.3]
        u = np.linspace(-1, 1, mm.shape[1])
        error = share * mm + bend * (mm / 70) ** 2 + (step + slope * u) * (1 - np.exp(-mm / 3))
        noise = rng.uniform(0.08, 0.25) * (1 + mm / 70) / 1.5
        return (mm + error + noise * rng.standard_normal(mm.shape)) / self.mm


def parse_shares(text: str) -> list[float]:
    """Return how often each range is drawn, from numbers separated by commas."""
    shares = [float(share) for share in text.split(",")]
    if len(shares) != len(RANGES) or min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
        raise argparse.ArgumentTypeError(f"expected {len(RANGES)} numbers that are not negative and sum to 1")
    return shares


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and write state and weights every two minutes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--training", type=Path, required=True, help="folder of the challenge's full training scans")
    parser.add_argument("--output", type=Path, required=True, help="file of the weights")
    parser.add_argument("--batches", type=int, default=3000, help="number of batches")
    parser.add_argument("--seed", type=int, default=0)
    shares = f"how often each range of {', '.join(map(str, RANGES))} degrees is drawn, separated by commas"
    parser.add_argument("--shares", type=parse_shares, default=list(RANGES.values()), help=shares)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    scan = read_scan(sorted(args.training.glob("*_full.mat"))[0]).select(slice(None, None, STRIDE))
    simulator = cache(partial(Simulator, scan))  # each holds a large matrix
    network = build_seeded(HoleNetwork, args.seed, "cpu")
    state, path = NetworkState(*initial_parts(network)), args.output.with_suffix(".state")
    spent = 0.0
    if path.exists():
        values, arrays = load_tensors(path, KEY, "the state of a training", "")
        state = NetworkState(*parts_like(state, arrays), step=values["step"])
        spent = values["seconds"]
    optimiser = Optimiser(network, state, lambda n: min(1 - 10 / (n + 10), 1 - 1 / AVERAGE), learning_rate=RATE, patience=20)
    started, saved, recent = time.monotonic() - spent, time.monotonic(), {degrees: [0.0] * PASSES for degrees in RANGES}
    while (batch := state.step // PASSES) < args.batches:
        rng = np.random.default_rng((args.seed, state.step))
        degrees = int(rng.choice(list(RANGES), p=args.shares))
        rate = RATE * min(1, (batch + 1) / WARM_UP, (1 - batch / args.batches) / FALL)
        model, truth = simulator(degrees).draw(rng)
        estimate = None
        for number in range(PASSES):
            logits = network(model.images(estimate), model.degrees, estimate is None)
            loss = F.binary_cross_entropy_with_logits(logits, truth, model.inside, reduction="sum") / model.inside.sum()
            optimiser.step(loss, rate)
            estimate = torch.sigmoid(logits.detach()) * model.inside
            recent[degrees][number] += 0.05 * (float(loss.detach()) - recent[degrees][number])
        if time.monotonic() - saved > 120:
            saved = time.monotonic()
            text = "  ".join(f"{d}: {' '.join(f'{v:.4f}' for v in values)}" for d, values in recent.items())
            print(f"batch {batch}, {saved - started:.0f} s, {time.process_time():.0f} s of CPU  {text}", flush=True)
            save(args.output, state, saved - started)
    save(args.output, state, time.monotonic() - started)


def save(path: Path, state: NetworkState, seconds: float) -> None:
    """Write the state, and the average of the weights with half precision."""
    values = {"step": state.step, "seconds": seconds}
    save_tensors(path.with_suffix(".state"), KEY, values, arrays_of(state), overwrite=True)
    arrays = {name: array.to(torch.float16) for name, array in state.average.items()}
    save_tensors(path, KEY, {"step": state.step, "card": CARD}, arrays, overwrite=True)


if __name__ == "__main__":
    main()
