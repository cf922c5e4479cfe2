"""The command ``tomoprior align``: make an aligned tilt series from a raw one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tomoprior.cli import inputs

EXAMPLES = """\b
Examples:
  tomoprior align raw.mrc -o aligned.mrc
  tomoprior align raw.st -o aligned.mrc --tilt-axis 84.1 --exclude 0,57-60
  tomoprior align raw.mrc -o aligned.mrc --xf raw.xf   # apply IMOD's transforms, estimate nothing
"""

TiltAxis = Annotated[
    float | None,
    typer.Option(
        help="Angle of the tilt axis in the images, degrees: counterclockwise from y as in IMOD, 90 for an axis along x. "
        "Default: near 0 or 90, whichever fits better."
    ),
]


def align(
    file: inputs.File,
    out: Annotated[Path, typer.Option("--out", "-o", help="Aligned series to write: .mrc, .h5, .tif, .zarr, .npy.")],
    angles: inputs.Angles = None,
    dataset: inputs.Dataset = None,
    angles_dataset: inputs.AnglesDataset = None,
    angle_unit: inputs.AngleUnit = None,
    angle_range: inputs.AngleRange = None,
    exclude: inputs.Exclude = None,
    thickness: inputs.Thickness = None,
    voxel_size: inputs.VoxelSize = None,
    unit: inputs.Unit = None,
    minus_log: inputs.MinusLog = False,
    i0: inputs.I0 = None,
    invert: inputs.Invert = False,
    repair: inputs.Repair = False,
    tilt_axis: TiltAxis = None,
    transpose: Annotated[bool, typer.Option("--transpose", help="Exchange x and y of the images first.")] = False,
    xf: Annotated[
        Path | None,
        typer.Option(
            help="Take the transforms of this file (.xf, .prexg, .aln, .star, .xml) instead of an estimate.", exists=True
        ),
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the alignment; may be repeated.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the outputs if they exist.")] = False,
) -> None:
    """Align a tilt series. Write OUT, transforms (.xf) and angles (.tlt) for IMOD, a figure (.png), and the record OUT.json."""
    import numpy as np

    from tomoprior.alignment import AlignSettings, estimate_alignment
    from tomoprior.alignment.external import find_mdoc_axis, read_alignment
    from tomoprior.alignment.saving import check_outputs, save_alignment, transpose_series
    from tomoprior.cli import console, opening, parse
    from tomoprior.progress import progress_bar

    values: dict[str, Any] = parse.merged(parse.settings(setting or []), tilt_axis=tilt_axis)
    settings = AlignSettings.parse(values)
    options = inputs.SeriesOptions(
        file=file, angles=angles, dataset=dataset, angles_dataset=angles_dataset, angle_unit=angle_unit,
        angle_range=angle_range, exclude=exclude, thickness=thickness, voxel_size=voxel_size, unit=unit, minus_log=minus_log,
        i0=i0, invert=invert, repair=repair,
    )  # fmt: skip
    check_outputs(out, [*options.files, *([] if xf is None else [xf])], overwrite=overwrite)
    series, notes = opening.open_series(options).prepared(lazily=True)
    if transpose:
        series = transpose_series(series)
    if xf is not None:
        alignment = read_alignment(xf, series, tilt_axis=None if tilt_axis is None else float(np.deg2rad(tilt_axis)))
    else:
        in_mdoc = find_mdoc_axis(file, angles) if settings.tilt_axis is None and not transpose else None
        if in_mdoc is not None:
            settings = AlignSettings.parse({**settings.model_dump(), "tilt_axis": float(np.rad2deg(in_mdoc[0]))})
            notes.append(f"the angle of the tilt axis, {settings.tilt_axis:.4g} degrees, starts from {in_mdoc[1]}")
        with progress_bar("align") as step:
            alignment = estimate_alignment(series, settings, progress=step)
    save_alignment(alignment, series, out, overwrite=overwrite, settings=settings.model_dump())
    console.print_notes([*notes, *alignment.statements])
    typer.echo(f"axis         {np.rad2deg(alignment.axis_angle):.2f} degrees from y")
    typer.echo(f"shifts       up to {np.abs(alignment.shifts).max():.2f} pixels")
    if alignment.residuals_before is not None and alignment.residuals_after is not None:
        typer.echo(
            f"residual     {alignment.residuals_before.mean():.4f} before, {alignment.residuals_after.mean():.4f} after, "
            "mean of the tilts"
        )
    others = ", ".join(out.with_suffix(suffix).name for suffix in (".xf", ".tlt", ".png"))
    typer.echo(f"wrote        {out}, with {others} and {out.name}.json")
