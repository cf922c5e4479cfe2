"""Alignment against simulated series with known shifts and axis, and against real series.

    python examples/benchmarks/alignment.py [--phantom spheres,capsid,tissue] [--seeds 1-2] [--narrow 20,8] [--real] [--large]

The images are turned by up to 5 degrees and shifted by 3 pixels r.m.s.; the noise has the signal's variance. The phantoms are
projected by the strip kernel on voxels of half the size; ``tissue`` is the block of FIB-SEM that no prior was trained on, with
material entering and leaving the field. ``--narrow`` aligns sections over that many degrees, shifted by 1.5 pixels r.m.s., with
the microscope's usual noise, and reconstructs them by ``diffusion``. ``--real`` aligns the needles and finds the centres of two
X-ray scans. ``--large`` aligns 61 images of 1024 x 1024 pixels, shifted by 10 pixels r.m.s.; they take two minutes to simulate.
The data are in the folder TOMOPRIOR_DATA. Times are CPU seconds; run it with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from alignment_cases import (
    ANGLES,
    SHAPES,
    Case,
    correlate_moved,
    find_rotation,
    make_case,
    make_narrow_case,
    predict_unseen,
    read_needle256,
)  # fmt: skip
from numpy.typing import NDArray

import tomoprior
from tomoprior import Geometry, TiltSeries, metrics
from tomoprior.alignment import Alignment, AlignSettings, estimate_alignment
from tomoprior.alignment.center import find_center
from tomoprior.alignment.coarse import correlate_neighbours
from tomoprior.alignment.matching import remove_gauge

BARS = {"shifts": 0.15, "axis": 0.1, "loss": 0.5, "gain": 3.0}
NARROW_BARS = {"shifts": 0.3, "refined": 0.3, "loss": 0.3}


def score(series: TiltSeries, truth: NDArray[np.float32], method: str = "tv", refine_shifts: int = 0) -> float:
    """Return the PSNR of a method in dB."""
    values = {"num_iter": 100} if method == "tv" else {}
    result = tomoprior.reconstruct(series, method, device="cpu", refine_shifts=refine_shifts, **values)
    return metrics.psnr(result.volume, truth)


def timed_alignment(series: TiltSeries, settings: AlignSettings) -> tuple[Alignment, float]:
    """Return the alignment and its CPU seconds."""
    started = time.process_time()
    return estimate_alignment(series, settings), time.process_time() - started


def cells(values: dict[str, float], bars: dict[str, float]) -> str:
    """Return the values with a mark at each missed bar."""
    met = {k: k not in bars or (v >= bars[k] if k == "gain" else v <= bars[k]) for k, v in values.items()}
    return " ".join(f"{k} {v:6.3f}{' ' if met[k] else '!'}" for k, v in values.items())


def simulated(phantom: str, seed: int, data: Path | None) -> None:
    """Print one row for each shape."""
    for shape in SHAPES:
        case = make_case(phantom, shape, seed, data=data)
        found, seconds = timed_alignment(case.series, AlignSettings(tilt_axis=0.0, search="wide"))
        known, ours, none = (
            score(s, case.truth) for s in (case.true.apply(case.series), found.apply(case.series), case.series)
        )
        values = {
            "shifts": case.rms_error(found.shifts), "axis": case.axis_error(found), "loss": known - ours, "gain": ours - none,
            "true gain": known - none,
        }  # fmt: skip
        neighbours = case.rms_error(correlate_neighbours(np.asarray(case.series.projections), ANGLES))
        turn = np.rad2deg(case.true.axis_angle)
        print(
            f"{phantom:<8} {shape!s:<14} seed {seed} ({turn:+.2f} degrees)  {cells(values, BARS)} neighbours "
            f"{neighbours:6.2f}  {seconds:4.1f} s",
            flush=True,
        )


def narrow(span: int, seed: int, data: Path) -> None:
    """Print the errors of a section over a narrow range, and the loss of ``diffusion`` without and with its own refinement."""
    case = make_narrow_case(data, span, seed)
    found, seconds = timed_alignment(case.series, AlignSettings(tilt_axis=0.0))
    aligned = found.apply(case.series)
    refined = tomoprior.reconstruct(aligned, "diffusion", device="cpu", refine_shifts=3)
    known, plain, none = (score(s, case.truth, "diffusion") for s in (case.true.apply(case.series), aligned, case.series))
    assert refined.geometry.shifts is not None
    values = {
        "shifts": case.rms_error(found.shifts), "refined": case.rms_error(found.shifts + refined.geometry.shifts),
        "axis": case.axis_error(found), "loss without": known - plain, "loss": known - metrics.psnr(refined.volume, case.truth),
        "gain": plain - none,
    }  # fmt: skip
    print(f"tissue, {span} degrees, seed {seed}  {cells(values, NARROW_BARS)} of {known:.2f} dB  {seconds:4.1f} s", flush=True)


def large(seed: int) -> None:
    """Print the errors, the time and the memory of 61 x 1024 x 1024."""
    case = make_case("spheres", (96, 1024, 1024), seed, size=10.0, supersample=1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found, seconds = timed_alignment(case.series, AlignSettings(tilt_axis=0.0, search="wide"))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"large, seed {seed}: shifts {case.rms_error(found.shifts):.2f} unbinned pixels, axis {case.axis_error(found):.3f} "
        f"degrees, {seconds:.0f} s of CPU, peak {after / 2**20:.2f} GiB ({before / 2**20:.2f} GiB before)"
    )


def needle_raw(data: Path) -> None:
    """Print the axis of the needle without any hint, and the correlation of its volume with that of the published alignment."""
    raw, published = (tomoprior.read(data / "needle" / f"needle_{name}.mrc") for name in ("raw", "aligned"))
    found, seconds = timed_alignment(raw, AlignSettings())
    ours, reference = (
        tomoprior.reconstruct(s, "sirt", num_iter=30, device="cpu").volume for s in (found.apply(raw), published)
    )
    implied = find_rotation(*(np.asarray(s.projections, np.float32) for s in (raw, published)))
    assert found.residuals_after is not None
    print(
        f"needle_raw: axis {np.rad2deg(found.axis_angle):.2f} degrees, implied {implied:.2f} (bar 0.5), correlation "
        f"{correlate_moved(ours, reference):.4f} (bar 0.95), residual {found.residuals_after.mean():.4f}, {seconds:.1f} s",
        flush=True,
    )


def needle256(data: Path) -> None:
    """Print the error on unseen tilts of the needle of 256 x 256 pixels, and that of the published alignment."""
    raw, published = read_needle256(data)
    found, seconds = timed_alignment(raw, AlignSettings())
    print(
        f"needle256: axis {np.rad2deg(found.axis_angle):.2f} degrees, unseen tilts {predict_unseen(found.apply(raw)):.4f} (bar "
        f"0.0335; ETSpy's alignment by the same measure {predict_unseen(published):.4f}), {seconds:.1f} s",
        flush=True,
    )


def centers(data: Path) -> None:
    """Print the centres of two X-ray scans."""
    for file, known in (("savu_24737/savu_24737.h5", 86.4), ("tooth/tooth.h5", 296.0)):
        started = time.process_time()
        found = find_center(tomoprior.read(data / file, minus_log=True))
        seconds = time.process_time() - started
        print(f"{file}: centre {found:.2f}, known {known}, error {found - known:+.2f} (bar 0.25), {seconds:.1f} s", flush=True)


def smoke() -> None:
    """Check the signs on a small noise-free series."""
    geometry = Geometry(ANGLES, (16, 16, 32))
    shifts = np.random.default_rng(0).standard_normal((len(ANGLES), 2))
    spheres = tomoprior.simulate.Spheres.random(geometry.shape, radius=(2, 4), seed=1)
    series = TiltSeries(spheres.project(replace(geometry, shifts=shifts)), geometry)
    found = estimate_alignment(series, AlignSettings(tilt_axis=0.0, search="none"))
    true = remove_gauge(shifts, ANGLES, np.ones(len(ANGLES)))
    case = Case(series, Alignment(true, 0.0, (16, 32)), np.zeros(geometry.shape, np.float32))
    print(f"smoke: error of shifts {case.rms_error(found.shifts):.3f} pixel")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phantom", default="spheres,shapes", help="spheres, shapes, capsid, tissue; or none")
    parser.add_argument("--seeds", default="1-2", metavar="FIRST-LAST")
    parser.add_argument("--narrow", default="", metavar="DEGREES", help="ranges of tissue: 20,8")
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    data = Path(os.environ["TOMOPRIOR_DATA"]) if "TOMOPRIOR_DATA" in os.environ else None
    print("bars: shifts 0.15 pixel, axis 0.1 degree, loss of tv to the true alignment 0.5 dB, gain over none 3 dB; ! = missed")
    smoke()
    first, _, last = options.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    for name in options.phantom.split(",") if options.phantom != "none" else []:
        for number in seeds:
            simulated(name, number, data)
    if options.large:
        large(seeds.start)
    if data is None and (options.real or options.narrow):
        parser.error("TOMOPRIOR_DATA must name the folder of data")
    if data is not None:
        for span in (int(v) for v in options.narrow.split(",") if v):
            for number in seeds:
                narrow(span, number, data)
        if options.real:
            centers(data)
            needle_raw(data)
            needle256(data)
