"""Alignment against simulated series with known shifts and axis, and against real series.

    python examples/benchmarks/alignment.py [--phantom spheres,capsid] [--seeds 1-2] [--real FOLDER] [--large]

The phantoms are projected by the strip kernel on voxels of half the size. The images are turned by up to 5 degrees and shifted
by 3 pixels r.m.s.; the noise has the signal's variance. Each row takes under a minute of one core. ``--real`` is the folder of
real data. ``--large`` aligns 61 images of 1024 x 1024 pixels, shifted by 10 pixels r.m.s.; they take two minutes to simulate.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

import tomoprior
from tomoprior import Geometry, TiltSeries, metrics
from tomoprior.alignment import Alignment, AlignSettings, estimate_alignment
from tomoprior.alignment.center import find_center
from tomoprior.alignment.coarse import correlate_neighbours
from tomoprior.alignment.matching import remove_gauge
from tomoprior.alignment.transforms import image_matrices

SHAPES = ((48, 64, 128), (32, 96, 96))
ANGLES = np.deg2rad(np.arange(-60, 61, 2.0))
BARS = {"shifts": 0.15, "axis": 0.1, "loss": 0.5, "gain": 3.0}


def make_series(
    phantom: str, shape: tuple[int, int, int], seed: int, size: float = 3.0, supersample: int = 2
) -> tuple[TiltSeries, Alignment, NDArray[np.float32]]:
    """Return a raw series, its true alignment and the true volume; the shifts have ``size`` pixels r.m.s."""
    rng = np.random.default_rng(1000 + seed)
    simulation = tomoprior.simulate.simulate(phantom, shape, ANGLES, seed=seed, supersample=supersample)
    images = np.asarray(simulation.series.projections, np.float32)
    axis, shifts = np.deg2rad(rng.uniform(-5, 5)), size * rng.standard_normal((len(ANGLES), 2))
    inverse = np.linalg.inv(image_matrices([axis], [1.0])[0])
    middle = (np.array(images.shape[1:]) - 1) / 2
    offsets = middle - shifts - inverse @ middle
    raw = np.stack([affine_transform(p, inverse, o, order=3) for p, o in zip(images, offsets, strict=True)])
    noise = rng.standard_normal(raw.shape) * raw.std(axis=(1, 2), keepdims=True)
    series = TiltSeries((raw + noise).astype(np.float32), simulation.series.geometry)
    return series, Alignment(shifts, float(axis), shape[1:]), simulation.truth.volume


def rms_error(shifts: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    """Return the root mean square of the error of a shift after the gauge, in pixels, the worse of y and u."""
    error = remove_gauge(shifts - true, ANGLES, np.ones(len(ANGLES)))
    return float(np.sqrt(np.mean(error**2, axis=0)).max())


def score(series: TiltSeries, truth: NDArray[np.float32]) -> float:
    """Return the PSNR of ``tv`` in dB."""
    return metrics.psnr(tomoprior.reconstruct(series, "tv", num_iter=100, device="cpu").volume, truth)


def simulated(phantom: str, seed: int) -> None:
    """Print one row for each shape."""
    for shape in SHAPES:
        series, true, truth = make_series(phantom, shape, seed)
        started = time.process_time()
        found = estimate_alignment(series, AlignSettings(tilt_axis=0.0, search="wide"))
        seconds = time.process_time() - started
        # the same gauge for both: a displaced volume is not an error
        fixed = Alignment(remove_gauge(true.shifts, ANGLES, np.ones(len(ANGLES))), true.axis_angle, true.detector)
        known, ours, none = (score(s, truth) for s in (fixed.apply(series), found.apply(series), series))
        neighbours = rms_error(correlate_neighbours(np.asarray(series.projections), ANGLES), true.shifts)
        axis = abs(np.rad2deg(found.axis_angle - true.axis_angle))
        values = {"shifts": rms_error(found.shifts, true.shifts), "axis": axis, "loss": known - ours, "gain": ours - none}
        met = {k: v >= BARS[k] if k == "gain" else v <= BARS[k] for k, v in values.items()}
        cells = " ".join(f"{k} {v:6.3f}{' ' if met[k] else '!'}" for k, v in values.items())
        print(f"{phantom:<8} {shape!s:<14} seed {seed}  {cells} neighbours {neighbours:6.2f}  {seconds:4.1f} s", flush=True)


def large(seed: int) -> None:
    """Print the errors, the time and the memory of 61 x 1024 x 1024."""
    series, true, _ = make_series("spheres", (96, 1024, 1024), seed, size=10.0, supersample=1)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    found = estimate_alignment(series, AlignSettings(tilt_axis=0.0, search="wide"))
    seconds, after = time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    axis = abs(np.rad2deg(found.axis_angle - true.axis_angle))
    print(
        f"large, seed {seed}: shifts {rms_error(found.shifts, true.shifts):.2f} unbinned pixels, axis {axis:.3f} degrees, "
        f"{seconds:.0f} s of CPU, peak {after / 2**20:.2f} GiB ({before / 2**20:.2f} GiB before)"
    )


def real(folder: Path) -> None:
    """Print the tilt axis and residuals of the needle, and the centres of two X-ray scans."""
    needle = estimate_alignment(tomoprior.read(folder / "needle" / "needle_raw.mrc"))
    assert needle.residuals_before is not None
    assert needle.residuals_after is not None
    print(
        f"needle, no hint: axis {np.rad2deg(needle.axis_angle):.2f} degrees, residual {needle.residuals_before.mean():.4f} -> "
        f"{needle.residuals_after.mean():.4f}"
    )
    for file, known in (("savu_24737/savu_24737.h5", 86.4), ("tooth/tooth.h5", 296.0)):
        found = find_center(tomoprior.read(folder / file, minus_log=True))
        print(f"{file}: centre {found:.2f}, known {known}, error {found - known:+.2f} (bar 0.25)")


def smoke() -> None:
    """Check the signs on a small noise-free series."""
    geometry = Geometry(ANGLES, (16, 16, 32))
    shifts = np.random.default_rng(0).standard_normal((len(ANGLES), 2))
    spheres = tomoprior.simulate.Spheres.random(geometry.shape, radius=(2, 4), seed=1)
    projections = spheres.project(Geometry(ANGLES, geometry.shape, shifts=shifts))
    found = estimate_alignment(TiltSeries(projections, geometry), AlignSettings(tilt_axis=0.0, search="none"))
    print(f"smoke: error of shifts {rms_error(found.shifts, shifts):.3f} pixel")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phantom", default="spheres,shapes")
    parser.add_argument("--seeds", default="1-2", metavar="FIRST-LAST")
    parser.add_argument("--real", type=Path, default=None)
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    print(
        "bars: shifts 0.15 pixel, axis 0.1 degree, loss of tv against the true shifts 0.5 dB, gain over none 3 dB; ! = missed"
    )
    smoke()
    first, _, last = options.seeds.partition("-")
    for name in options.phantom.split(","):
        for number in range(int(first), int(last or first) + 1):
            simulated(name, number)
    if options.large:
        large(int(first))
    if options.real is not None:
        real(options.real)
