"""Compare ``sirt`` with ASTRA's CPU SIRT slice by slice, and the cost of a TV iteration with that of a SIRT iteration.

    python examples/benchmarks/iterative.py [--convergence]

``--convergence`` also runs TV for 4000 iterations on hollow spheres (a few minutes) to show how close 400 iterations are to
convergence.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from timing import best

from tomoprior import Geometry, Projector, clear_cache, methods, metrics
from tomoprior.simulate import Spheres


def run(name: str, projections: torch.Tensor, geometry: Geometry, **settings: object) -> torch.Tensor:
    method = methods.get(name)
    projector = Projector(geometry, "cpu")
    return method.reconstruct(projections, projector, method.Settings.parse(settings)).volume


def against_astra() -> None:
    geometry = Geometry(np.deg2rad(np.linspace(-60, 60, 61)), (256, 16, 256))
    projections = torch.from_numpy(Spheres.random(geometry.shape, radius=(4, 8), seed=0).project(geometry, supersample=1))

    def cold() -> None:
        clear_cache()
        run("sirt", projections, geometry, num_iter=20, pad=0)

    theirs, ours, ours_cold = best(
        lambda: run("astra.SIRT", projections, geometry, num_iter=20),
        lambda: run("sirt", projections, geometry, num_iter=20, pad=0),
        cold,
        repeat=3,
    )
    a = run("astra.SIRT", projections, geometry, num_iter=20)
    b = run("sirt", projections, geometry, num_iter=20, pad=0)
    print("SIRT, 20 iterations, 16 slices of 256 x 256, 61 tilts")
    print(f"ASTRA, slice by slice {theirs:7.2f} s")
    print(f"sirt                  {ours:7.2f} s: {theirs / ours:5.1f} times faster")
    print(f"  with a new matrix   {ours_cold:7.2f} s: {theirs / ours_cold:5.1f} times faster")
    print(f"relative difference {float((a - b).norm() / a.norm()):.1e}\n")


def tv_cost() -> None:
    geometry = Geometry(np.deg2rad(np.linspace(-60, 60, 61)), (48, 64, 128))
    projections = torch.from_numpy(Spheres.random(geometry.shape, seed=1).project(geometry))
    # the difference of two lengths is the time of the iterations, without the set-up
    tv, tv0, sirt, sirt0 = best(
        *(
            lambda name=name, n=n, extra=extra: run(name, projections, geometry, num_iter=n, pad=0, **extra)
            for name, extra in (("tv", {"reg_par": 0.3}), ("sirt", {"min_constraint": 0}))
            for n in (60, 10)
        )
    )
    print("hollow spheres, 48 x 64 x 128 voxels, 61 tilts")
    ratio = (tv - tv0) / (sirt - sirt0)
    print(f"an iteration of tv {20 * (tv - tv0):.1f} ms, of sirt {20 * (sirt - sirt0):.1f} ms: ratio {ratio:.2f}\n")


def convergence() -> None:
    geometry = Geometry(np.deg2rad(np.linspace(-60, 60, 61)), (48, 64, 128))
    spheres = Spheres.random(geometry.shape, seed=1)
    projections, truth = torch.from_numpy(spheres.project(geometry)), spheres.volume(geometry.shape)
    print("PSNR (dB) on hollow spheres, noise-free, exact projections")
    for name, settings in (
        ("tv", {"reg_par": "auto"}),
        ("tv", {"reg_par": 0.1}),
        ("tv", {"reg_par": 1.0}),
        ("sirt", {"min_constraint": 0}),
    ):
        scores = [
            metrics.psnr(run(name, projections, geometry, num_iter=n, pad=0, **settings), truth) for n in (100, 400, 4000)
        ]
        print(f"{name:<5} {settings!s:<24} 100: {scores[0]:.2f}   400: {scores[1]:.2f}   4000: {scores[2]:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--convergence", action="store_true")
    # tv first: after a product of the projector `numba` the threads of torch sleep between two operations, for its products'
    # sake, and an iteration on so small a volume takes 1.5 times as long
    tv_cost()
    against_astra()
    if parser.parse_args().convergence:
        convergence()
