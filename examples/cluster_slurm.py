"""Reconstruct a large tilt series on a SLURM cluster: one Dask worker per node, one slab per task, resumed after a crash.

    python examples/cluster_slurm.py scan.zarr volume.zarr --method tv --nodes 8 --queue regular --walltime 04:00:00
    python examples/cluster_slurm.py scan.zarr volume.zarr --method tv --local 2     # the same on this machine, as a trial

SLURM needs ``pip install dask-jobqueue``. All nodes must see the input and the output under the same path. If the job that runs
this script ends before the volume is finished, submit it once more: it continues where it stopped. On nodes with GPUs give
``--gpus 1``; dask-cuda's ``LocalCUDACluster`` and ``dask cuda worker`` work as well, with the address of their scheduler.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from distributed import Client, LocalCluster

import tomoprior


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--method", default="sirt")
    parser.add_argument("--thickness", type=int)
    parser.add_argument("--slab", type=int, help="rows of a slab; by default as many as fit into the memory of a node")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--cores", type=int, default=32, help="cores of a node")
    parser.add_argument("--memory", default="120GiB", help="memory of a node")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs of a node")
    parser.add_argument("--queue")
    parser.add_argument("--walltime", default="04:00:00")
    parser.add_argument("--local", type=int, help="workers on this machine, instead of SLURM")
    args = parser.parse_args()

    series = tomoprior.read(args.series.resolve(), thickness=args.thickness)
    with start_cluster(args) as cluster, Client(cluster) as client:
        result = tomoprior.reconstruct(
            series, args.method, out=args.out.resolve(), slab=args.slab or "auto", scheduler=client, resume=True,
            progress=lambda done, total, values: print(f"slab {done} of {total}", flush=True),
        )  # fmt: skip
    print(f"wrote {args.out}: {result.volume.shape}, residual {result.provenance['residual']:.4g}")


def start_cluster(args: argparse.Namespace) -> LocalCluster:
    """Return workers on this machine, or SLURM jobs of one worker each."""
    if args.local:
        return LocalCluster(n_workers=args.local, threads_per_worker=1, memory_limit=0)
    from dask_jobqueue import SLURMCluster

    jobs = SLURMCluster(
        # a worker does one slab at a time, with all cores of its node
        queue=args.queue, cores=1, processes=1, memory=args.memory, walltime=args.walltime,
        job_cpu=args.cores, job_script_prologue=[f"export OMP_NUM_THREADS={args.cores}"],
        job_extra_directives=[f"--gres=gpu:{args.gpus}"] if args.gpus else [],
    )  # fmt: skip
    jobs.scale(jobs=args.nodes)
    return jobs


if __name__ == "__main__":
    main()
