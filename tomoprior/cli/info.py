"""``tomoprior info``: what a file holds, as this program understands it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tomoprior.formats import Stack


def info(
    file: Annotated[Path, typer.Argument(help="A tilt series or a volume: MRC, HDF5, TIFF, Zarr, NumPy.", exists=True)],
    pixels: Annotated[bool, typer.Option(help="Read the values too: range, bad pixels, counts or line integrals.")] = True,
    views: Annotated[bool, typer.Option("--views", help="List every tilt with its number and angle.")] = False,
) -> None:
    """Show shape, voxel size, angles and anything odd about a file."""
    import numpy as np

    from tomoprior.errors import TomopriorError
    from tomoprior.formats import open_stack, registry, sidefiles
    from tomoprior.memory import format_bytes

    stack = open_stack(file)
    shape = tuple(stack.data.shape)
    size = int(np.prod(shape)) * np.dtype(stack.data.dtype).itemsize
    typer.echo(f"{file}: {registry.for_reading(file).name}, {stack.data.dtype}, {format_bytes(size)}")
    typer.echo(f"shape        {shape[0]} x {shape[1]} x {shape[2]}  (tilt, y, u) of a series, (z, y, x) of a volume")
    typer.echo(f"voxel size   {stack.voxel_size:.6g} {stack.unit}")
    angles, source = stack.angles, "the file"
    side = sidefiles.find_angles(file) if angles is None else None
    if side is not None:
        try:
            angles, source = sidefiles.read_angles(side), str(side)
        except TomopriorError as error:
            typer.echo(f"warning      {error}")
    if angles is None:
        typer.echo("angles       none in the file or beside it")
    else:
        degrees = np.rad2deg(angles)
        steps = np.abs(np.diff(np.sort(degrees)))
        step = f", steps {steps.min():.4g} to {steps.max():.4g}" if len(steps) else ""
        typer.echo(
            f"angles       {len(degrees)} from {degrees.min():.4g} to {degrees.max():.4g} degrees{step}  (from {source})"
        )
        if len(degrees) != shape[0]:
            typer.echo(f"warning      {len(degrees)} angles for {shape[0]} tilts")
        if views:
            for number, angle in enumerate(degrees):
                typer.echo(f"  tilt {number:4d}  {angle:9.3f}")
    for label in stack.labels:
        typer.echo(f"label        {label}")
    for key, value in stack.attrs.items():
        typer.echo(f"{key:<12} {value}")
    for warning in stack.warnings:
        typer.echo(f"warning      {warning}")
    if pixels:
        _pixels(stack, series=angles is not None)


def _pixels(stack: Stack, *, series: bool) -> None:
    import numpy as np

    from tomoprior.geometry import Geometry
    from tomoprior.series import TiltSeries
    from tomoprior.series.pixels import describe_pixels

    n, ny, nu = stack.data.shape
    # only the values are looked at: which angles they belong to does not matter here
    report = describe_pixels(TiltSeries(stack.data, Geometry(np.zeros(n), (1, ny, nu)), metadata={"counts": stack.counts}))
    typer.echo(
        f"values       {report.minimum:.6g} to {report.maximum:.6g}, mean {report.mean:.6g}"
        + (f"; look like {report.looks_like}" if series else "")
    )
    # what projections ought to be is nothing to say of a volume
    for warning in report.warnings if series or report.n_bad else ():
        typer.echo(f"warning      {warning}")
