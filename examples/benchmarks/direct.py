"""Compare the direct methods with ASTRA's FBP slice by slice and, where TomoPy is installed, its gridrec: CPU seconds, warm.

python examples/benchmarks/direct.py
"""

from __future__ import annotations

import importlib.util
import time

import numpy as np
import torch

from tomoprior import Geometry, Projector, methods, metrics
from tomoprior.simulate import Spheres

#: Voxels along z and x, tilts over 180 degrees, slices.
CASES = ((512, 181, 16), (1024, 900, 4))


def reconstruct(name: str, projections: torch.Tensor, geometry: Geometry, repeat: int = 3) -> tuple[float, torch.Tensor]:
    """CPU seconds of the fastest of several calls, after one to warm up, and the volume."""
    method = methods.get(name)
    times = []
    for _ in range(repeat + 1):
        started = time.process_time()
        volume = method.reconstruct(projections, Projector(geometry, "cpu"), method.Settings()).volume
        times.append(time.process_time() - started)
    return (time_gridrec(projections, geometry, repeat) if name == "tomopy.gridrec" else min(times[1:])), volume


def time_gridrec(projections: torch.Tensor, geometry: Geometry, repeat: int) -> float:
    """CPU seconds of gridrec without the padding that its method adds."""
    import tomopy

    times = []
    for _ in range(repeat + 1):
        started = time.process_time()
        tomopy.recon(projections.numpy(), geometry.angles, geometry.center - 0.5, algorithm="gridrec")
        times.append(time.process_time() - started)
    return min(times[1:])


def keep_in_field(spheres: Spheres, size: int) -> Spheres:
    """Return the spheres that every tilt shows whole; along y they may go on beyond the slices."""
    inside = np.hypot(spheres.centers[:, 0], spheres.centers[:, 2]) + spheres.outer < size / 2 - 1
    return Spheres(spheres.centers[inside], spheres.outer[inside], spheres.inner[inside], spheres.density[inside])


def main() -> None:
    names = ["wbp", "fourier", "astra.FBP"] + (["tomopy.gridrec"] if importlib.util.find_spec("tomopy") else [])
    for size, tilts, slices in CASES:
        geometry = Geometry(np.arange(tilts) * np.pi / tilts, (size, slices, size))
        spheres = keep_in_field(Spheres.random((size, 96, size), radius=(4, 40), seed=0), size)
        truth = spheres.volume(geometry.shape)
        projections = torch.from_numpy(spheres.project(geometry, supersample=1))
        print(f"{slices} slices of {size} x {size}, {tilts} tilts, {torch.get_num_threads()} threads")
        for name in names:
            seconds, volume = reconstruct(name, projections, geometry)
            print(f"{name:<15} {seconds:7.3f} CPU s, PSNR {metrics.psnr(volume, truth):.1f} dB")


if __name__ == "__main__":
    main()
