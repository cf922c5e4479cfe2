"""``tomoprior train``: a prior for the diffusion method from the user's volumes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tomoprior.methods.diffusion.prior import Prior
    from tomoprior.simulate.tissue import Tissue
    from tomoprior.training import TrainingSettings

#: Smallest and largest voxel size to train for by default, in voxels of the volumes.
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
        typer.Argument(metavar="VOLUME", help="Volumes of cubic voxels, any format.", exists=True),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Prior to write: .safetensors; its log has the same name and .csv.")],
    validation: Annotated[Path | None, typer.Option(help="Volume for the score; it is not trained on.", exists=True)] = None,
    start: Annotated[
        str | None,
        typer.Option(help="Prior to start from, a file or a name such as tissue. Default: random weights."),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Wall-clock time of the steps; a calibration follows. Default: 90.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Number of steps instead of minutes; the same result on every run.")] = None,
    voxel_size: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="Voxels to train for. Default: 1.6 to 2.5 times the volumes' own."),
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the training; repeat it.")
    ] = None,
    tissue_voxel_size: Annotated[
        float | None, typer.Option(help="Edge of the volumes' voxels. Default: that of the files.")
    ] = None,
    unit: Annotated[str | None, typer.Option(help="Unit of all voxel sizes: angstrom, nanometer, micrometer, ...")] = None,
    bright_is_dense: Annotated[
        bool, typer.Option("--bright-is-dense", help="Bright voxels hold most stain. Default: dark voxels do.")
    ] = False,
    calibration: Annotated[
        bool,
        typer.Option(help="With --validation: measure the prior's errors on it, so that its spread is right."),
    ] = True,
    name: Annotated[str | None, typer.Option(help="For the prior's card: its name.")] = None,
    licence: Annotated[str | None, typer.Option(help="For the card: licence of the volumes, and so of the prior.")] = None,
    attribution: Annotated[str | None, typer.Option(help="For the card: owner of the volumes.")] = None,
    device: Annotated[str, typer.Option(help="Device of the training: auto (a GPU if there is one), cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads on the CPU.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a prior that OUT holds.")] = False,
) -> None:
    """Train a prior of the diffusion method. Ctrl-C saves the state, and the same command continues from it."""
    import torch

    from tomoprior import training
    from tomoprior.cli import parse
    from tomoprior.cli.errors import InterruptedWithOutput
    from tomoprior.cli.tissue import opened
    from tomoprior.errors import Interrupted
    from tomoprior.methods.diffusion.prior import Prior
    from tomoprior.progress import progress_bar
    from tomoprior.projector.backends import choose_device
    from tomoprior.training.outputs import Outputs

    # all arguments are checked before any long work
    place = choose_device(device)
    values = _values(parse.settings(setting or []), minutes=minutes, steps=steps, voxel_size=voxel_size)
    training.TrainingSettings.parse(values)
    outputs = Outputs(out)
    outputs.check(overwrite=overwrite)
    length = parse.unit(unit)
    tissues: list[Tissue] = []
    for path in volumes:
        tissues.append(opened(path, tissue_voxel_size, length, bright_is_dense=bright_is_dense))
        length = length or tissues[0].unit
    judge = None
    if validation is not None:
        judge = opened(validation, tissue_voxel_size, length, bright_is_dense=bright_is_dense)
    begun = None if start is None else Prior.load(start)
    own = max(t.voxel_size for t in tissues)
    settings = training.TrainingSettings.parse({"voxel_size": tuple(own * factor for factor in COARSER)} | values)
    if threads is not None:
        torch.set_num_threads(threads)
    _say(volumes, tissues, validation, settings, outputs.state, str(place))
    card = {"name": name, "licence": licence, "attribution": attribution, "data": [path.name for path in volumes]}
    try:
        with progress_bar("train") as step:
            prior = training.train(
                tissues, out, validation=judge, settings=settings, start=begun, overwrite=overwrite, device=place,
                calibration=calibration, report=lambda what: typer.echo(f"calibrating  {what}"), progress=step,
                card={key: value for key, value in card.items() if value is not None},
            )  # fmt: skip
    except Interrupted as stop:
        typer.echo(f"interrupted  the state is in {stop.result}: the same command continues from it", err=True)
        raise InterruptedWithOutput from None
    _report(prior, out, outputs.log)


def _values(given: dict[str, Any], **options: Any) -> dict[str, Any]:
    from tomoprior.cli import parse
    from tomoprior.errors import SettingsError

    if options["minutes"] is not None and options["steps"] is not None:
        raise SettingsError("--minutes and --steps both set the length of a training; give one")
    return parse.merged(given, **options)


def _say(
    volumes: list[Path], tissues: list[Tissue], validation: Path | None, settings: TrainingSettings, state: Path, device: str
) -> None:
    import torch

    for path, tissue in zip(volumes, tissues, strict=True):
        typer.echo(
            f"tissue       {path}: {' x '.join(map(str, tissue.grey.shape))} voxels of {tissue.voxel_size:.6g} {tissue.unit}, "
            f"grey {tissue.least:g} without stain, {tissue.most:g} with most"
        )
    typer.echo(f"validation   {validation or 'none: the prior gets no score (--validation VOLUME)'}")
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
            "validation   PSNR in dB of its mean and of the linear estimate; inside the section without the planes' means"
        )
        typer.echo(f"{'degrees':>20}{'step':>8}{'prior':>9}{'linear':>9}{'inside':>9}{'linear':>9}")
        for row in card["validation"]:
            numbers = "".join(f"{row[key]:>9.2f}" for key in ("psnr", "linear_psnr", "inner", "linear_inner"))
            typer.echo(f"{row['range']:>20g}{row['step']:>8g}{numbers}")
        gains = ", ".join(f"{gain:+.2f} at {level}" for level, gain in card["gain_over_linear"].items())
        typer.echo(f"denoiser     without a series, in dB over a linear one: {gains}")
    typer.echo(f"wrote        {out} after {card['steps']} steps in {card['minutes']:g} minutes; the log is {log}")
