"""``tomoprior compare``: several methods on one tilt series, and one report that says which to believe."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tomoprior.cli import inputs

if TYPE_CHECKING:
    from tomoprior.comparison import Comparison
    from tomoprior.geometry import Geometry
    from tomoprior.reconstruction import Reconstruction

EXAMPLES = """\b
Examples:
  tomoprior compare series.mrc -o report --methods wbp,sirt,tv,cn --thickness 256
  tomoprior compare series.mrc -o report --methods wbp,sirt,tv --tune --budget 10min --bin 4
  tomoprior compare series.mrc -o report --methods sirt,sirt2=sirt --set sirt2.min_constraint=0 --truth truth.mrc
"""


def compare(
    file: inputs.File,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the report. Run again, it goes on from what is there.")],
    methods: Annotated[
        str,
        typer.Option("--methods", "-m", help="As `tomoprior methods` lists them; LABEL=NAME lets one take part twice."),
    ] = "wbp,sirt,tv,cn",
    truth: Annotated[Path | None, typer.Option(help="Volume to hold them against, on the same grid.", exists=True)] = None,
    match: Annotated[
        str, typer.Option(help="none, affine or moments: what is fitted to the truth before values are compared.")
    ] = "none",
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="METHOD.NAME=VALUE", help="A setting of one of the methods; repeat it.")
    ] = None,
    tune: Annotated[
        bool, typer.Option("--tune", help="Choose one or two settings of each method by tilts held out, never by the truth.")
    ] = False,
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="For each method with its checks, as 90s, 5min or 2h.")
    ] = None,
    checks: Annotated[
        str, typer.Option(help="Of held-out, planted and halves, those to make; they take 1, 1 and 2 more reconstructions.")
    ] = "held-out,planted,halves",
    volumes: Annotated[str | None, typer.Option(metavar="mrc|zarr", help="Write the volumes to OUT/volumes as well.")] = None,
    mask: Annotated[Path | None, typer.Option(help="Volume of 0 and 1: outside, volumes are zero.", exists=True)] = None,
    angles: inputs.Angles = None,
    dataset: inputs.Dataset = None,
    angles_dataset: inputs.AnglesDataset = None,
    flats: inputs.Flats = None,
    darks: inputs.Darks = None,
    image_key: inputs.ImageKey = None,
    angle_unit: inputs.AngleUnit = None,
    angle_range: inputs.AngleRange = None,
    exclude: inputs.Exclude = None,
    flip_hand: inputs.FlipHand = False,
    center: inputs.Center = None,
    shifts: inputs.Shifts = None,
    thickness: inputs.Thickness = None,
    width: inputs.Width = None,
    bin: inputs.Bin = 1,
    voxel_size: inputs.VoxelSize = None,
    unit: inputs.Unit = None,
    minus_log: inputs.MinusLog = False,
    i0: inputs.I0 = None,
    invert: inputs.Invert = False,
    subtract: inputs.Subtract = None,
    repair: inputs.Repair = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    backend: Annotated[str, typer.Option(help="auto, astra-matrix, astra-2d or astra-cuda.")] = "auto",
    kind: Annotated[str, typer.Option(help="Kernel of the projector: linear, line or strip.")] = "linear",
    seed: Annotated[int, typer.Option(help="For methods that draw random numbers, and for the planted objects.")] = 0,
) -> None:
    """Reconstruct by several methods and write OUT/report.html: pictures, measures, and what can be believed."""
    from tomoprior.cli import console, parse
    from tomoprior.comparison import compare as compared
    from tomoprior.comparison.arguments import select_checks
    from tomoprior.comparison.candidates import make_candidates, split_settings
    from tomoprior.errors import SettingsError
    from tomoprior.progress import stages_bar

    # everything that can be wrong is found before anything long begins
    labels = [part.rpartition("=")[0].strip() or part.strip() for part in methods.split(",")]
    settings = split_settings(parse.settings(setting or []), labels)
    make_candidates(methods, settings)
    select_checks(checks)
    seconds = None if budget is None else parse.seconds(budget)
    if volumes not in (None, "mrc", "zarr"):
        raise SettingsError(f"--volumes takes mrc or zarr, got {volumes!r}")
    given = inputs.SeriesOptions(
        file=file, angles=angles, dataset=dataset, angles_dataset=angles_dataset, flats=flats, darks=darks,
        image_key=image_key, angle_unit=angle_unit, angle_range=angle_range, exclude=exclude, flip_hand=flip_hand,
        center=center, shifts=shifts, thickness=thickness, width=width, bin=bin, voxel_size=voxel_size, unit=unit,
        minus_log=minus_log, i0=i0, invert=invert, subtract=subtract, repair=repair,
    )  # fmt: skip
    opened = given.opened()
    known = None if truth is None else _truth(truth, opened.geometry)
    inside = None if mask is None else inputs.volume(mask, opened.geometry.shape)
    series, notes = opened.prepared()
    console.print_series(file, series, given_center=center is not None)
    console.print_notes(notes)
    with stages_bar() as step:
        result = compared(
            series, methods.split(","), settings=settings, truth=known, match=match, tune=tune,  # type: ignore[arg-type]
            budget=seconds, checks=checks, mask=inside, out=out, volumes=volumes, title=file.name,  # type: ignore[arg-type]
            device=device, kind=kind, backend=backend, seed=seed, progress=step,  # type: ignore[arg-type]
            about={"command": shlex.join(sys.argv), "notes": notes},
        )  # fmt: skip
    say(result)
    typer.echo(f"\nwrote        {out / 'report.html'}, with table.csv, metrics.json and figures beside it")
    if not result.done:
        raise typer.Exit(1)


def _truth(path: Path, geometry: Geometry) -> Reconstruction:
    """The truth with its voxel size; refused here, before any work, if it is of another shape or size."""
    from tomoprior.comparison.arguments import check_voxel_size
    from tomoprior.errors import InputError
    from tomoprior.formats import open_stack
    from tomoprior.reconstruction import Reconstruction

    stack = open_stack(path)
    if tuple(stack.data.shape) != geometry.shape:
        raise InputError(f"{path}: the truth has shape {tuple(stack.data.shape)}, the grid {geometry.shape} (z, y, x)")
    if stack.voxel_size is not None:
        check_voxel_size(stack.voxel_size, stack.unit, geometry)
    return Reconstruction(inputs.volume(path, geometry.shape), geometry)


def say(result: Comparison) -> None:
    """The table and the summary, for the terminal."""
    rows: list[dict[str, Any]] = []
    for entry in result.entries:
        found = entry.evidence
        row = {"method": entry.label}
        if "truth" in found:
            row |= {"PSNR (dB)": _number(found["truth"]["psnr"], 2), "SSIM": _number(found["truth"]["ssim"], 3)}
        if "held_out" in found:
            row["held-out"] = f"{100 * found['held_out']['error']:.2f} %"
        if "planted" in found:
            row["planted"] = f"{found['planted']['found']}/{found['planted']['of']}, {found['planted']['contrast']:.2f}"
        if "inferred" in found:
            row["inferred"] = f"{100 * found['inferred']['share']:.1f} %"
        if "reconstruction" in entry.seconds:
            row["seconds"] = f"{entry.seconds['reconstruction']:.1f}"
        rows.append(row)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    widths = [max(len(name), *(len(row.get(name, "")) for row in rows)) for name in columns]
    for row in [{name: name for name in columns}, *rows]:
        cells = [row.get(name, "").rjust(w) for name, w in zip(columns, widths, strict=True)]
        typer.echo("  ".join([row.get("method", "").ljust(widths[0]), *cells[1:]]))
    for entry in result.entries:
        if entry.status != "done" or entry.message:
            typer.echo(f"{entry.status:<12} {entry.label}: {entry.message}")
    for name, reason in result.about["left_out"].items():
        typer.echo(f"left out     {name.replace('_', '-')}: {reason}")
    typer.echo("")
    for sentence in result.summary:
        typer.echo(sentence)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
