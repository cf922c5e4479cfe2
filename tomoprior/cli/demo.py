"""``tomoprior demo``: a phantom, three methods, a table and pictures; the first thing that a newcomer runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the series, the volumes and the pictures.")] = Path(
        "tomoprior-demo"
    ),
    overwrite: Annotated[bool, typer.Option(help="Replace an earlier demo's files.")] = True,
    seed: Annotated[int, typer.Option(help="Another seed, another phantom.")] = 1,
) -> None:
    """Simulate a tilt series over +-60 degrees, reconstruct it with wbp, sirt and tv, and compare with the truth."""
    import numpy as np

    from tomoprior import metrics
    from tomoprior.cli.progress import bar
    from tomoprior.demo import METHODS, make, picture
    from tomoprior.errors import FormatError
    from tomoprior.formats import write
    from tomoprior.formats.writing import write_series
    from tomoprior.reconstruction import Reconstruction
    from tomoprior.run import reconstruct

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError(f"{out}: cannot be made ({error.strerror})") from error
    truth, series = make(seed)
    geometry = series.geometry
    write(Reconstruction(truth, geometry), out / "truth.mrc", overwrite=overwrite)
    write_series(series, out / "series.mrc", overwrite=overwrite)
    low, high = np.rad2deg(geometry.angles[[0, -1]])
    size = " x ".join(map(str, geometry.shape))
    typer.echo(f"hollow spheres, {size} voxels (z, y, x); {geometry.n_angles} tilts, {low:g} to {high:g} degrees\n")
    typer.echo(f"{'method':<8}{'PSNR (dB)':>10}{'SSIM':>8}{'RMSE':>8}{'seconds':>9}")
    volumes = {"truth": truth}
    for name, settings in METHODS.items():
        with bar(name) as step:
            result = reconstruct(series, name, progress=step, **settings)
        volumes[name] = result.volume
        write(result, out / f"{name}.mrc", overwrite=overwrite)
        figures = [metrics.psnr(result.volume, truth), metrics.ssim(result.volume, truth), metrics.rmse(result.volume, truth)]
        typer.echo(f"{name:<8}{figures[0]:>10.2f}{figures[1]:>8.3f}{figures[2]:>8.4f}{result.provenance['seconds']:>9.1f}")
    picture(volumes, out / "demo.png")
    for name, volume in volumes.items():
        picture({name: volume}, out / f"{name}.png", grey=(float(truth.min()), float(truth.max())))
    written = ", ".join(f"{name}.mrc" for name in ("truth", *METHODS))
    typer.echo(f"\nwrote {out}: series.mrc with series.tlt, {written}; demo.png and one picture of each")
    typer.echo(f"next: tomoprior recon {out / 'series.mrc'} -o volume.mrc --method tv --thickness {geometry.shape[0]}")
