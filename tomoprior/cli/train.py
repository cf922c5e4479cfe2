"""``tomoprior train``: train a prior for the diffusion method from your own volumes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tomoprior.methods.diffusion.prior import Prior
    from tomoprior.simulate.tissue import Tissue
    from tomoprior.training import TrainingSettings

#: Default voxel sizes to train for, smallest and largest, in units of the volumes' own.
COARSER = (1.6, 2.5)

EXAMPLES = """\b
Examples:
  tomoprior train fibsem.tif --tissue-voxel-size 10 --unit nm --validation other.tif -o prior.safetensors --minutes 90
  tomoprior train a.mrc b.mrc --validation c.mrc -o prior.safetensors --voxel-size 16 25 --set ranges=20,140
  tomoprior train a.mrc -o prior.safetensors --steps 2000 --bright-is-dense --licence CC-BY-4.0
"""


def train(
    volumes: Annotated[
        list[Path],
        typer.Argument(metavar="VOLUME", help="Volumes with cubic voxels, in any format.", exists=True),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Prior to write (.safetensors); the log is a .csv file beside it.")],
    validation: Annotated[
        Path | None, typer.Option(help="Volume for validation; it is not used for training.", exists=True)
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="Prior to start from, a file or a name such as tissue. Default: random weights.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Wall-clock time of the steps; a calibration follows. Default: 90.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Number of steps instead of a time; every run is then the same.")] = None,
    voxel_size: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="Voxel sizes to train for. Default: 1.6 to 2.5 times those of the volumes."),
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the training; may be repeated.")
    ] = None,
    tissue_voxel_size: Annotated[
        float | None, typer.Option(help="Edge of the volumes' voxels. Default: from the files.")
    ] = None,
    unit: Annotated[str | None, typer.Option(help="Unit of all voxel sizes: angstrom, nanometer, micrometer, ...")] = None,
    bright_is_dense: Annotated[
        bool, typer.Option("--bright-is-dense", help="Bright voxels hold the most stain. Default: dark voxels.")
    ] = False,
    calibration: Annotated[
        bool,
        typer.Option(help="With --validation: measure the prior's errors and adjust its standard deviations."),
    ] = True,
    name: Annotated[str | None, typer.Option(help="For the prior's card: its name.")] = None,
    licence: Annotated[str | None, typer.Option(help="For the card: licence of the volumes and of the prior.")] = None,
    attribution: Annotated[str | None, typer.Option(help="For the card: owner of the volumes.")] = None,
    device: Annotated[str, typer.Option(help="Device: auto (a GPU if there is one), cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads. Default: all cores of this process.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
) -> None:
    """Train a prior for the diffusion method. On Ctrl-C the state is saved; run the same command again to continue."""
    from tomoprior import training
    from tomoprior.cli import parse
    from tomoprior.cli.errors import InterruptedWithOutput, before_output
    from tomoprior.cli.tissue import open_tissue
    from tomoprior.errors import Interrupted
    from tomoprior.methods.diffusion.prior import Prior
    from tomoprior.progress import progress_bar
    from tomoprior.projector.backends import choose_device
    from tomoprior.running.threads import limit_threads
    from tomoprior.training.outputs import Outputs

    # all checks come before any long work
    place = choose_device(device)
    values = _values(parse.settings(setting or []), minutes=minutes, steps=steps, voxel_size=voxel_size)
    training.TrainingSettings.parse(values)
    outputs = Outputs(out)
    outputs.check(overwrite=overwrite)
    length = parse.unit(unit)
    tissues: list[Tissue] = []
    for path in volumes:
        tissues.append(open_tissue(path, tissue_voxel_size, length, bright_is_dense=bright_is_dense))
        length = length or tissues[0].unit
    validation_tissue = None
    if validation is not None:
        validation_tissue = open_tissue(validation, tissue_voxel_size, length, bright_is_dense=bright_is_dense)
    start_prior = None if start is None else Prior.load(start)
    voxels = max(t.voxel_size for t in tissues)
    settings = training.TrainingSettings.parse({"voxel_size": tuple(voxels * factor for factor in COARSER)} | values)
    card = {"name": name, "licence": licence, "attribution": attribution, "data": [path.name for path in volumes]}
    with limit_threads(threads):
        _print_plan(volumes, tissues, validation, settings, outputs.state, str(place))
        try:
            with before_output(), progress_bar("train") as step:
                prior = training.train(
                    tissues, out, validation=validation_tissue, settings=settings, start=start_prior, overwrite=overwrite,
                    device=place, calibration=calibration, report=lambda text: typer.echo(f"calibrating  {text}"),
                    progress=step, card={key: value for key, value in card.items() if value is not None},
                )  # fmt: skip
        except Interrupted as stop:
            typer.echo(f"interrupted  the state is in {stop.result}; run the same command again to continue", err=True)
            raise InterruptedWithOutput from None
    _report(prior, out, outputs.log)


def _values(pairs: dict[str, Any], **options: Any) -> dict[str, Any]:
    from tomoprior.cli import parse
    from tomoprior.errors import SettingsError

    if options["minutes"] is not None and options["steps"] is not None:
        raise SettingsError("--minutes and --steps both limit the training; give one of them")
    return parse.merged(pairs, **options)


def _print_plan(
    volumes: list[Path], tissues: list[Tissue], validation: Path | None, settings: TrainingSettings, state: Path, device: str
) -> None:
    import torch

    for path, tissue in zip(volumes, tissues, strict=True):
        typer.echo(
            f"tissue       {path}: {' x '.join(map(str, tissue.grey.shape))} (z, y, x) voxels of "
            f"{tissue.voxel_size:.6g} {tissue.unit}, "
            f"grey value {tissue.least:g} without stain, {tissue.most:g} with most"
        )
    typer.echo(f"validation   {validation or 'none: quality is not measured (--validation VOLUME)'}")
    low, high = settings.voxel_size
    height, (rows, columns) = settings.height, settings.field
    typer.echo(f"grid         {height} x {rows} x {columns} (z, y, x) voxels of {low:.6g} to {high:.6g} {tissues[0].unit}")
    typer.echo(f"tilts        over {settings.ranges[0]:g} to {settings.ranges[1]:g} degrees")
    length = f"{settings.minutes:g} minutes" if settings.steps is None else f"{settings.steps} steps"
    where = f"{torch.get_num_threads()} CPU thread(s)" if device == "cpu" else device
    typer.echo(f"training     {length} on {where}")
    if state.exists():
        typer.echo(f"state        continues from {state}")


def _report(prior: Prior, out: Path, log: Path) -> None:
    card = prior.card
    if card["validation"]:
        typer.echo(
            "validation   PSNR in dB of the prior's mean and of the linear estimate; 'inside' is within the section, "
            "without the planes' means"
        )
        typer.echo(f"{'degrees':>20}{'step':>8}{'prior':>9}{'linear':>9}{'inside':>9}{'linear':>9}")
        for row in card["validation"]:
            numbers = "".join(f"{row[key]:>9.2f}" for key in ("psnr", "linear_psnr", "inner", "linear_inner"))
            typer.echo(f"{row['range']:>20g}{row['step']:>8g}{numbers}")
        gains = ", ".join(f"{gain:+.2f} at {level}" for level, gain in card["gain_over_linear"].items())
        typer.echo(f"denoiser     without a series, in dB above a linear denoiser: {gains}")
    typer.echo(f"wrote        {out} after {card['steps']} steps in {card['minutes']:g} minutes; the log is {log}")
