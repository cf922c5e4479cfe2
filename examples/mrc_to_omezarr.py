"""From a tilt series of an electron microscope to a volume for a viewer: MRC and .rawtlt to OME-Zarr.

    python examples/mrc_to_omezarr.py                                   # a simulated series with two spoilt tilts
    python examples/mrc_to_omezarr.py series.mrc --exclude 0,57 --bin 4 --thickness 1200 --method tv -o volume.zarr

The angles are in ``series.rawtlt`` (or ``.tlt``, ``.mdoc``) next to ``series.mrc``. Tilts count from 0. The thickness is in
pixels of the file, before binning. The picture next to the volume shows how well each tilt fits: outliers are candidates for
``--exclude``. napari, Fiji and neuroglancer open the volume with its voxel size.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import tomoprior


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", type=Path, nargs="?")
    parser.add_argument("--exclude", type=lambda s: [int(v) for v in s.split(",")], default=[], help="tilts, from 0: 3,17")
    parser.add_argument("--bin", type=int, default=2)
    parser.add_argument("--thickness", type=int, help="in pixels before binning; by default the detector's width")
    parser.add_argument("--minus-log", action="store_true", help="the file holds transmissions, not line integrals")
    parser.add_argument("--method", default="sirt")
    parser.add_argument("-o", "--output", type=Path, default=Path("volume.zarr"))
    parser.add_argument("--small", action="store_true", help="a simulated series of 16 rows instead of 96")
    args = parser.parse_args()
    if args.series is None:
        args.thickness, args.exclude = 64, args.exclude or [4, 30]
        args.series = simulate_series(args.output.with_name("simulated.mrc"), 16 if args.small else 96, spoilt=args.exclude)

    series = tomoprior.read(args.series, thickness=args.thickness, minus_log=args.minus_log)
    print(f"read   {args.series}: {series.geometry}")
    series = series.exclude(args.exclude).binned(args.bin)
    print(f"using  {series.geometry} without tilts {args.exclude or 'none'}")
    with tomoprior.progress_bar(args.method) as progress:
        result = tomoprior.reconstruct(series, args.method, progress=progress)
    tomoprior.write(result, args.output, overwrite=True)

    # how well the volume explains each tilt
    projections = series.load().projections
    misfit = tomoprior.Projector(series.geometry, "cpu")(result.volume) - projections
    residuals = np.linalg.norm(misfit, axis=(1, 2)) / np.linalg.norm(projections, axis=(1, 2))
    figure = tomoprior.plot.residuals({args.method: residuals}, series.geometry.angles, title=args.series.name)
    figure.savefig(args.output.with_suffix(".png"))

    stack = tomoprior.formats.open_stack(args.output)  # as any other program reads it
    edges = " x ".join(f"{n * stack.voxel_size:.4g}" for n in stack.data.shape)
    print(f"wrote  {args.output}: {stack.data.shape} (z, y, x) voxels of {stack.voxel_size:g} {stack.unit}, {edges} in all")


def simulate_series(path: Path, rows: int, spoilt: list[int]) -> Path:
    """Write a series of hollow spheres with its angles in ``.rawtlt``; the beam was off in the tilts ``spoilt``."""
    shape, angles = (64, rows, 128), np.deg2rad(np.arange(-60, 61, 3))
    simulation = tomoprior.simulate.simulate("spheres", shape, angles, seed=1, voxel_size=6.8, snr=5)
    for view in spoilt:
        simulation.series.projections[view] = 0
    tomoprior.formats.write_series(simulation.series, path, overwrite=True)
    path.with_suffix(".tlt").replace(path.with_suffix(".rawtlt"))
    return path


if __name__ == "__main__":
    main()
