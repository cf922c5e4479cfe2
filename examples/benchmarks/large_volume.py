"""Slab by slab against all at once: memory, throughput, workers, and what planning takes.

    python examples/benchmarks/large_volume.py [--bars memory,throughput,workers,plan] [--threads 2] [--folder DIR]

Volumes of 384 x 384 voxels a slice from 61 tilts, by 20 iterations of ``sirt``, from an MRC file to a Zarr volume. Every run
is a process of its own. Memory: what the process had at its peak beyond what it had after its imports, which may not exceed
1.5 GiB (a limit of the operating system). Ratios compare runs one after the other; with other work beside, repeat.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tomoprior import Geometry, TiltSeries, methods
from tomoprior.formats.writing import write_series
from tomoprior.memory import format_bytes
from tomoprior.projector import ProjectorOptions
from tomoprior.running.slabs import plan

SIZE, TILTS, NUM_ITER = 384, 61, 20
LIMIT = 3 << 29

RUN = """
import json, re, resource, sys, time
import torch
import tomoprior, tomoprior.running.slabs.run, tomoprior.adapters.zarr, tomoprior.adapters.astra.matrix
from tomoprior.formats import write

def status(field):
    return int(re.search(field + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024

def main():
    given = json.loads(sys.argv[1])
    torch.set_num_threads(given["threads"])
    torch.zeros(256, 256) @ torch.zeros(256, 256)  # the threads' own memory is the interpreter's
    before, data = status("VmRSS"), status("VmData")
    if given["limit"]:
        resource.setrlimit(resource.RLIMIT_DATA, (data + given["limit"],) * 2)
    started = time.perf_counter()
    series = tomoprior.read(given["series"])
    if given["slab"]:
        tomoprior.reconstruct(
            series, "sirt", num_iter=given["num_iter"], out=given["out"], slab=given["slab"], workers=given["workers"],
            overwrite=True, device="cpu",
        )
    else:
        write(tomoprior.reconstruct(series, "sirt", num_iter=given["num_iter"], device="cpu"), given["out"], overwrite=True)
    print(json.dumps({"seconds": time.perf_counter() - started, "peak": status("VmHWM") - before}))

if __name__ == "__main__":
    main()
"""


def main() -> None:
    names = ("memory", "throughput", "workers", "plan")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", type=lambda s: s.split(","), default=list(names))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rows", type=int, default=768, help="slices of the large volume")
    parser.add_argument("--repeat", type=int, default=2, help="rounds of which each ratio takes the shortest times")
    parser.add_argument("--folder", type=Path, help="where the files go; a temporary folder by default")
    args = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        bench = Bench(Path(folder), args)
        for name in args.bars:
            failed |= getattr(bench, name)()
    sys.exit(1 if failed else 0)


class Bench:
    """The bars, each a method that prints and says whether it is missed."""

    def __init__(self, folder: Path, args: argparse.Namespace) -> None:
        self.folder, self.args = folder, args

    def series(self, rows: int) -> Path:
        """A series on the disk; what is in it does not matter to the clock."""
        path = self.folder / f"series{rows}.mrc"
        if not path.exists():
            geometry = Geometry(np.deg2rad(np.linspace(-60, 60, TILTS)), (SIZE, rows, SIZE))
            rng = np.random.default_rng(0)
            image = rng.random((rows, SIZE), np.float32)
            data = np.stack([np.roll(image, i, axis=1) for i in range(TILTS)])
            write_series(TiltSeries(data, geometry), path)
        return path

    def run(self, rows: int, slab: int | str | None, *, workers: int = 1, limit: int = 0, threads: int | None = None) -> dict:
        """One process; seconds from reading to the finished output, and bytes at the peak."""
        given = {
            "series": str(self.series(rows)), "out": str(self.folder / "out.zarr"), "slab": slab, "workers": workers,
            "limit": limit, "threads": threads or self.args.threads, "num_iter": NUM_ITER,
        }  # fmt: skip
        script = self.folder / "run.py"  # workers import it
        script.write_text(RUN)
        env = {**os.environ, "OMP_NUM_THREADS": str(given["threads"])}
        found = subprocess.run(
            [sys.executable, str(script), json.dumps(given)], capture_output=True, text=True, env=env, check=False
        )
        if found.returncode:
            sys.exit(f"failed: {found.stderr.strip()[-2000:]}")
        return json.loads(found.stdout.strip().splitlines()[-1])

    def memory(self) -> bool:
        """Of a small and of a large volume, under the limit."""
        few, many = (self.run(rows, "auto", limit=LIMIT) for rows in (96, self.args.rows))
        growth = many["peak"] / few["peak"] - 1
        print(
            f"peak of 96 slices {format_bytes(few['peak'])}, of {self.args.rows} {format_bytes(many['peak'])}, "
            f"limit {format_bytes(LIMIT)}"
        )
        print(f"{self.args.rows} slices in {many['seconds']:.1f} s: {1e3 * many['seconds'] / self.args.rows:.0f} ms a slice")
        return say(f"memory grows by {100 * growth:.1f} %, 10 % at most", 0.10 - abs(growth))

    def throughput(self) -> bool:
        """On a size that fits into memory."""
        rows = 192
        times = [(self.run(rows, None)["seconds"], self.run(rows, 96)["seconds"]) for _ in range(self.args.repeat)]
        whole, slabs = (min(column) for column in zip(*times, strict=True))
        print(f"{rows} slices: in memory {whole:.1f} s, in slabs of 96 {slabs:.1f} s, input and output included")
        return say(f"throughput of slabs over all at once {whole / slabs:.3f}, at least 0.9", whole / slabs - 0.9)

    def workers(self) -> bool:
        """Two processes that share the cores against one that has its share."""
        rows, share = self.args.rows // 2, max(1, self.args.threads // 2)
        one, two, alone = [], [], []
        for _ in range(self.args.repeat):
            one.append(self.run(rows, 32, threads=share)["seconds"])
            two.append(self.run(rows, 32, workers=2, threads=share)["seconds"])
            alone.append(self.run(rows, 32)["seconds"])
        print(
            f"{rows} slices: one process of {share} thread(s) {min(one):.1f} s, two workers {min(two):.1f} s, "
            f"one process of {self.args.threads} thread(s) {min(alone):.1f} s"
        )
        return say(f"two workers over one {min(one) / min(two):.2f}, at least 1.6", min(one) / min(two) - 1.6)

    def plan(self) -> bool:
        """Of a facility's volume, on paper."""
        method = methods.get("sirt")
        angles = np.deg2rad(np.linspace(-90, 90, 1800, endpoint=False))
        large = Geometry(angles, (2048, 2048, 2048))
        started = time.perf_counter()
        options = ProjectorOptions("cpu", backend="astra-2d")
        made = plan.plan_slabs(large, method, method.Settings(), options, budget=64 << 30)
        seconds = time.perf_counter() - started
        print(f"2048 x 2048 x 2048 from 1800 tilts within 64 GiB: {len(made.slabs)} slabs of {made.rows} rows")
        return say(f"planned in {seconds:.2f} s, 2 s at most", 2 - seconds)


def say(line: str, margin: float) -> bool:
    """Print a bar; True if it is missed."""
    print(f"{line}: {'pass' if margin >= 0 else 'FAIL'}", flush=True)
    return margin < 0


if __name__ == "__main__":
    main()
