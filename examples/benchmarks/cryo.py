"""Frozen specimens: what the microscope in the model, weights by dose, halves and fusion are worth, bar by bar.

    python examples/benchmarks/cryo.py --maps ../shared/data/maps
    python examples/benchmarks/cryo.py --maps ../shared/data/maps --rows model --seeds 1 2 3 4 --snr 0.05 0.1 0.2

Ribosomes and proteasomes in a slab, 41 tilts over +-60 degrees, 120 electrons per square angstrom, defocus 2 to 4 micrometers.
The recording continues an image beyond its borders as its mirror image, and the reconstruction takes images as periodic, so
that the model is not exact. A row takes about a minute of one core at the default size. A slab of particles of these maps needs
a thickness of 580 angstrom: 48 voxels of 12 angstrom, or the default of 60 voxels of 10.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import tomoprior
from tomoprior import TiltSeries, metrics
from tomoprior.microscopy import flip_phases
from tomoprior.simulate import CryoSettings, simulate
from tomoprior.simulate.cryo import expose

ANGLES = np.deg2rad(np.arange(-60, 61, 3))
#: Strengths in units of the one that the rule of thumb gives.
FACTORS = (1.0, 4.0, 16.0, 64.0, 256.0)


class Case:
    """One specimen at one signal-to-noise ratio: its images, the same in two halves of frames, and its truth."""

    def __init__(self, arguments: argparse.Namespace, seed: int, snr: float) -> None:
        nx, ny, nz = arguments.size
        maps = tuple(str(path) for path in sorted(arguments.maps.glob("*.mrc")))
        clean = simulate("particles", (nz, ny, nx), ANGLES, seed=seed, voxel_size=arguments.voxel_size, file=maps)
        settings = CryoSettings()
        self.truth, geometry = clean.truth.volume, clean.series.geometry
        self.transfer = settings.transfer(geometry, np.random.default_rng([seed, 7]))
        halves = [
            expose(clean.series.projections, self.transfer, snr / 2, settings.ice, np.random.default_rng([seed, stream]))[0]
            for stream in (8, 9)
        ]
        self.halves = [TiltSeries(images, geometry, transfer=self.transfer) for images in halves]
        self.series = replace(self.halves[0], projections=(halves[0] + halves[1]) / 2)

    def without_dose(self) -> TiltSeries:
        """Return the series with its contrast transfer only."""
        return replace(self.series, transfer=replace(self.transfer, dose=None))

    def flipped(self) -> TiltSeries:
        """Return the series with flipped phases."""
        return replace(self.series, projections=flip_phases(self.series.projections, self.transfer), transfer=None)

    def scores(self, volume: np.ndarray) -> tuple[float, float, float]:
        """Return the 0.5 and 0.143 crossings in measured directions, and the mean FSC in the missing wedge."""
        curves = metrics.directional_fsc(volume, self.truth, ANGLES, mode="wedge")
        return curves["present"].crossing(0.5), curves["present"].crossing(0.143), curves["missing"].mean()

    def psnr(self, volume: np.ndarray) -> float:
        """Return the PSNR in dB after a fit of scale and offset."""
        return float(metrics.psnr(metrics.match_scale(volume, self.truth, "affine"), self.truth))


def gain(first: float, second: float) -> str:
    return f"{100 * (first / second - 1):+.1f} %"


def model_row(case: Case) -> Iterator[str]:
    for method, settings in (("tv", {"reg_par": "held-out"}), ("cn", {})):
        volumes = [tomoprior.reconstruct(s, method, **settings).volume for s in (case.series, case.flipped())]
        half, seventh, missing = zip(*map(case.scores, volumes), strict=True)
        yield (
            f"{method}: 0.5 crossing {gain(*half)} (asked +15), 0.143 crossing {gain(*seventh)}, "
            f"missing FSC {missing[0]:.3f} against {missing[1]:.3f}"
        )


def dose_row(case: Case) -> Iterator[str]:
    volumes = [tomoprior.reconstruct(s, "tv", reg_par="held-out").volume for s in (case.series, case.without_dose())]
    half, seventh, _ = zip(*map(case.scores, volumes), strict=True)
    yield f"tv: 0.143 crossing {gain(*seventh)} (asked +5), 0.5 crossing {gain(*half)}"


def halves_row(case: Case) -> Iterator[str]:
    auto = tomoprior.reconstruct(case.halves[0], "tv", num_iter=5).provenance["settled"]["reg_par"]
    strengths = [factor * auto for factor in FACTORS]
    chosen, _ = tomoprior.choose_by_halves(*case.halves, "tv", "reg_par", strengths, num_iter=100)
    means = [tomoprior.reconstruct_halves(*case.halves, method="tv", reg_par=s, num_iter=100) for s in strengths]
    quality = [case.psnr(m.mean.volume) for m in means]
    at = strengths.index(chosen)
    yield f"tv: strength {FACTORS[at]:g} x rule, {max(quality) - quality[at]:.2f} dB below the best by truth (asked 0.3)"
    stated = means[at].predicted.crossing(0.5)
    true = case.scores(means[at].mean.volume)[0]
    yield (
        f"tv: stated resolution {1 / stated:.2f} voxels, true FSC 0.5 at {1 / true:.2f}: {gain(true, stated)} of frequency "
        "(asked 10)"
    )


def fusion_row(case: Case) -> Iterator[str]:
    members = {
        "tv": {"reg_par": "held-out"},
        "tikhonov": {"reg_par": 3.0, "num_iter": 40},
        "cn": {"degree": 3, "num_iter": 100},
    }
    found = [tomoprior.reconstruct_halves(*case.halves, method=name, **settings) for name, settings in members.items()]
    each = [case.psnr(result.mean.volume) for result in found]
    fused = case.psnr(tomoprior.fuse(found).volume)
    listed = ", ".join(f"{name} {value:.2f}" for name, value in zip(members, each, strict=True))
    yield f"fused {fused:.2f} dB, {fused - max(each):+.2f} against its best member (asked +0.5, never below -0.1): {listed}"


def wedge_row(case: Case) -> Iterator[str]:
    volumes = {
        "tv by halves": tomoprior.reconstruct_halves(*case.halves, method="tv", reg_par="held-out").mean.volume,
        "wedge": tomoprior.reconstruct(case.series, "wedge").volume,
        "wedge by halves": tomoprior.reconstruct_halves(*case.halves, method="wedge").mean.volume,
    }
    for name, volume in volumes.items():
        half, _, missing = case.scores(volume)
        length = 1 / half if half else float("inf")
        yield f"{name:<16} {case.psnr(volume):.2f} dB, 0.5 crossing at {length:.2f} voxels, missing FSC {missing:.3f}"


def speed_row(case: Case) -> Iterator[str]:
    for method in ("sirt", "tv", "cn"):
        settings = {"reg_par": 1.0} if method != "sirt" else {}
        times = []
        for series in (replace(case.series, transfer=None), case.series):
            spent = []
            for count in (5, 25):
                started = time.process_time()
                tomoprior.reconstruct(series, method, num_iter=count, **settings)
                spent.append(time.process_time() - started)
            times.append((spent[1] - spent[0]) / 20)
        yield f"{method}: {1e3 * times[1]:.1f} ms an iteration, {times[1] / times[0]:.2f} times one without (asked 1.3)"


ROWS = {
    "model": model_row,
    "dose": dose_row,
    "halves": halves_row,
    "fusion": fusion_row,
    "wedge": wedge_row,
    "speed": speed_row,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=Path, required=True, help="folder of density maps (.mrc)")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--snr", nargs="+", type=float, default=[0.1])
    parser.add_argument("--size", nargs=3, type=int, default=[80, 80, 60], metavar=("X", "Y", "Z"))
    parser.add_argument("--voxel-size", type=float, default=10.0, help="angstrom")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for seed in arguments.seeds:
        for snr in arguments.snr:
            case = Case(arguments, seed, snr)
            for row in arguments.rows:
                started = time.process_time()
                for line in ROWS[row](case):
                    print(f"seed {seed}  SNR {snr:g}  {row:<7} {line}", flush=True)
                print(f"seed {seed}  SNR {snr:g}  {row:<7} {time.process_time() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
