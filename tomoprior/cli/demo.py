"""``tomoprior demo``: two specimens, five methods, a report of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the series, the true volumes and the reports.")] = Path(
        "tomoprior-demo"
    ),
    overwrite: Annotated[bool, typer.Option(help="Replace an earlier demo's files.")] = True,
    seed: Annotated[int, typer.Option(help="Seed; another seed gives other specimens.")] = 1,
) -> None:
    """Simulate two tilt series over +-60 degrees, compare wbp, sirt, tv, cn and diffusion on them, and report."""
    from tomoprior.cli.compare import print_result
    from tomoprior.cli.scenes import SCENES
    from tomoprior.comparison import compare
    from tomoprior.errors import FormatError
    from tomoprior.formats import write
    from tomoprior.formats.writing import write_series
    from tomoprior.progress import stages_bar
    from tomoprior.reconstruction import Reconstruction

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError(f"{out}: cannot be created ({error.strerror})") from error
    reports = []
    for scene in SCENES:
        series, truth = scene.make(seed, scene.shape)
        write(Reconstruction(truth, series.geometry), out / f"{scene.name}_truth.mrc", overwrite=overwrite)
        write_series(series, out / f"{scene.name}.mrc", overwrite=overwrite)
        size = " x ".join(map(str, scene.shape))
        typer.echo(f"{scene.name}: {scene.title}; {size} voxels (z, y, x), {series.geometry.n_angles} tilts\n")
        with stages_bar() as step:
            result = compare(
                series, scene.methods, truth=truth,
                tune=False, out=out / scene.name,
                title=f"{scene.name}: {scene.title}", seed=seed, progress=step, overwrite=overwrite,
                about={"command": f"tomoprior demo --seed {seed}"},
            )  # fmt: skip
        print_result(result)
        typer.echo("")
        reports.append(out / scene.name / "report.html")
    typer.echo("open in a browser:")
    for path in reports:
        typer.echo(f"  {path}")
    first = SCENES[0]
    typer.echo(f"next: tomoprior recon {out / first.name}.mrc -o volume.mrc --method tv --thickness {first.shape[0]}")
