"""``tomoprior compare``: several methods on one tilt series, and one report with the evidence for each."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tomoprior.cli import inputs

if TYPE_CHECKING:
    from tomoprior.comparison import Comparison, Cost
    from tomoprior.geometry import Geometry
    from tomoprior.reconstruction import Reconstruction

EXAMPLES = """\b
Examples:
  tomoprior compare series.mrc -o report --methods wbp,sirt,tv,cn --thickness 256
  tomoprior compare series.mrc -o report --methods wbp,sirt,tv --no-tune --budget 10min --bin 4
  tomoprior compare series.mrc -o report --methods wbp,sirt,tv,cn --dry-run
  tomoprior compare series.mrc -o report --methods sirt,sirt2=sirt --set sirt2.min_constraint=0 --truth truth.mrc
"""


def compare(
    file: inputs.File,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the report. A second run continues there.")],
    methods: Annotated[
        str,
        typer.Option("--methods", "-m", help="Names from `tomoprior methods`. LABEL=NAME lets a method take part twice."),
    ] = "wbp,sirt,tv,cn",
    truth: Annotated[Path | None, typer.Option(help="The true volume, on the same grid.", exists=True)] = None,
    match: Annotated[
        str, typer.Option(help="How plain measures fit scale and offset to the truth: none, affine or moments.")
    ] = "none",
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="METHOD.NAME=VALUE", help="A setting of one method; repeatable."),
    ] = None,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune/--no-tune",
            help="Choose one or two settings by held-out tilts, never by the truth, for methods that do not do so themselves.",
        ),
    ] = True,
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="Time for each method with its checks, such as 90s, 5min or 2h.")
    ] = None,
    checks: Annotated[
        str, typer.Option(help="Checks to run: held-out, planted, halves. They take 1, 1 and 2 more reconstructions.")
    ] = "held-out,planted,halves",
    volumes: Annotated[str | None, typer.Option(metavar="mrc|zarr", help="Also write the volumes to OUT/volumes.")] = None,
    mask: Annotated[Path | None, typer.Option(help="Volume of 0 and 1. Volumes are zero where it is 0.", exists=True)] = None,
    angles: inputs.Angles = None,
    dataset: inputs.Dataset = None,
    angles_dataset: inputs.AnglesDataset = None,
    flats: inputs.Flats = None,
    darks: inputs.Darks = None,
    image_key: inputs.ImageKey = None,
    angle_unit: inputs.AngleUnit = None,
    tilt_axis: inputs.TiltAxis = "y",
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
    backend: Annotated[str, typer.Option(help="auto, astra-matrix, astra-2d, astra-cuda or numba.")] = "auto",
    kind: Annotated[str, typer.Option(help="Kernel of the projector: linear, line or strip.")] = "linear",
    seed: Annotated[int, typer.Option(help="Seed of random numbers, and of the places of planted objects.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace other results in OUT.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, estimate memory and time, write nothing.")
    ] = False,
) -> None:
    """Reconstruct by several methods and write OUT/report.html with pictures, measures and the evidence for each."""
    from tomoprior.cli import console, opening, parse
    from tomoprior.comparison import compare as compare_methods
    from tomoprior.comparison import estimate_comparison
    from tomoprior.comparison.arguments import select_checks
    from tomoprior.comparison.candidates import make_candidates, split_settings
    from tomoprior.errors import SettingsError
    from tomoprior.progress import stages_bar

    # all mistakes are reported before any long work starts
    labels = [part.rpartition("=")[0].strip() or part.strip() for part in methods.split(",")]
    settings = split_settings(parse.settings(setting or []), labels)
    make_candidates(methods, settings)
    select_checks(checks)
    seconds = None if budget is None else parse.seconds(budget)
    if volumes not in (None, "mrc", "zarr"):
        raise SettingsError(f"--volumes takes mrc or zarr, got {volumes!r}")
    options = inputs.SeriesOptions(
        file=file, angles=angles, dataset=dataset, angles_dataset=angles_dataset, flats=flats, darks=darks,
        image_key=image_key, angle_unit=angle_unit, tilt_axis=tilt_axis, angle_range=angle_range,
        exclude=exclude, flip_hand=flip_hand,
        center=center, shifts=shifts, thickness=thickness, width=width, bin=bin, voxel_size=voxel_size, unit=unit,
        minus_log=minus_log, i0=i0, invert=invert, subtract=subtract, repair=repair,
    )  # fmt: skip
    opened = opening.open_series(options)
    known = None if truth is None else _truth(truth, opened.geometry)
    inside = None if mask is None else inputs.volume(mask, opened.geometry.shape)
    series, notes = opened.prepared()
    console.print_series(file, series, given_center=center is not None)
    console.print_notes(notes)
    _print_costs(
        estimate_comparison(
            series, methods.split(","), settings=settings, tune=tune, budget=seconds, checks=checks,
            device=device, kind=kind, backend=backend,  # type: ignore[arg-type]
        )
    )  # fmt: skip
    if dry_run:
        typer.echo("dry run: nothing was written")
        return
    with stages_bar() as step:
        result = compare_methods(
            series, methods.split(","), settings=settings, truth=known, match=match, tune=tune,  # type: ignore[arg-type]
            budget=seconds, checks=checks, mask=inside, out=out, volumes=volumes, title=file.name,  # type: ignore[arg-type]
            device=device, kind=kind, backend=backend, seed=seed, progress=step, overwrite=overwrite,  # type: ignore[arg-type]
            about={"command": shlex.join(sys.argv), "notes": notes},
        )  # fmt: skip
    print_result(result)
    typer.echo(f"\nwrote        {out / 'report.html'}, with table.csv, metrics.json and figures beside it")
    if not result.done:
        raise typer.Exit(1)


def _truth(path: Path, geometry: Geometry) -> Reconstruction:
    """Read the truth; raises InputError for another shape or voxel size."""
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


def _print_costs(costs: list[Cost]) -> None:
    """Print the estimated cost of each method, with the number of its trials, and the cost of all."""
    from tomoprior.cli.console import format_estimate
    from tomoprior.comparison.tuning import TRIALS
    from tomoprior.memory import format_bytes

    for cost in costs:
        plural = "s" if cost.reconstructions > 1 else ""
        trials = f" ({cost.trials} of {TRIALS} trials{': ' * bool(cost.why)}{cost.why})" if cost.trials or cost.why else ""
        typer.echo(
            f"{'estimate':<12} {cost.label}: {cost.reconstructions} reconstruction{plural}{trials}, "
            f"about {format_estimate(cost.seconds)}, {format_bytes(cost.memory)}"
        )
    typer.echo(f"{'estimate':<12} all: about {format_estimate(sum(cost.seconds for cost in costs))}, one after the other")


def print_result(result: Comparison) -> None:
    """Print the table and the summary."""
    rows: list[dict[str, Any]] = []
    for entry in result.entries:
        evidence = entry.evidence
        row = {"method": entry.label}
        if "truth" in evidence:
            row |= {
                "PSNR fitted": _number(evidence["truth"]["psnr_fitted"], 2),
                "PSNR (dB)": _number(evidence["truth"]["psnr"], 2),
                "SSIM": _number(evidence["truth"]["ssim"], 3),
            }
        if "held_out" in evidence:
            row["held-out"] = f"{100 * evidence['held_out']['error']:.2f} %"
        if "planted" in evidence:
            row["planted"] = (
                f"{evidence['planted']['found']}/{evidence['planted']['of']}, {evidence['planted']['contrast']:.2f}"
            )
        if "inferred" in evidence:
            row["inferred"] = f"{100 * evidence['inferred']['share']:.1f} %"
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
    for label, parts in result.about["kept"].items():
        typer.echo(f"{'kept':<12} {label}: {', '.join(part.replace('_', '-') for part in parts)} of an earlier run")
    for name, reason in result.about["left_out"].items():
        typer.echo(f"left out     {name.replace('_', '-')}: {reason}")
    typer.echo("")
    for sentence in result.summary:
        typer.echo(sentence)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
